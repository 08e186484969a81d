internal import Synchronization

/// A datagram that has been received, and what came beside it.
package struct Datagram: Sendable {
  package var bytes: [UInt8]
  private var others: Companions?
  /// Where nothing but a sender may come. Few ask for it.
  private let sender: SocketAddress?

  init(bytes: [UInt8], companions: Companions?, sender: SocketAddress?) {
    self.bytes = bytes
    others = companions
    self.sender = sender
  }

  /// One that somebody has received before.
  package init(_ bytes: [UInt8]) { self.init(bytes: bytes, companions: nil, sender: nil) }

  /// What came beside it; of descriptors the only reference.
  package mutating func takeCompanions() -> Companions? {
    others.take() ?? sender.map { Companions(descriptors: [], sender: $0) }
  }

  /// Receives one that has so many bytes, with one attempt.
  package static func receive(
    _ byteCount: Int, _ take: (Datagram) -> Void,
    by receive: (UnsafeMutableRawBufferPointer, inout Companions?) -> Attempt
  ) -> Attempt {
    var attempt = Attempt.wouldBlock
    var found: Companions?
    // Where nothing is known of it, room for the largest usual one is reserved, and given back.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: max(byteCount, 1)) { memory, count in
      attempt = unsafe receive(UnsafeMutableRawBufferPointer(memory), &found)
      if case .transferred(let received) = attempt { count = received }
    }
    if case .transferred = attempt { take(Datagram(bytes: bytes, companions: found, sender: nil)) }
    return attempt
  }
}

/// Memory for datagrams of any size that UDP has: what is not written costs no memory. Pooled, so that it is mapped
/// once and not with every receive.
@safe
// Invariant: `memory` belongs to who has taken the room, until it is given back.
final class DatagramRoom: @unchecked Sendable {
  let memory = UnsafeMutableRawPointer.allocate(byteCount: slotCount * slotSize, alignment: 16)

  deinit { unsafe memory.deallocate() }

  /// A datagram is shorter: its length, header included, has 16 bits.
  static var slotSize: Int { 65_536 }
  static var slotCount: Int { 16 }

  private static let pool = Guarded<[DatagramRoom]>([])
  private static var poolLimit: Int { 4 }

  static func take() -> DatagramRoom { pool.withLock { $0.popLast() } ?? DatagramRoom() }

  static func giveBack(_ room: DatagramRoom) {
    pool.withLock { pool in if pool.count < poolLimit { pool.append(room) } }
  }
}
