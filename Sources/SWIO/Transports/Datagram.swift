internal import Synchronization

/// A datagram that has been received, and what came beside it.
public struct Datagram: Sendable {
  public var bytes: [UInt8]
  /// Nil if nothing came beside the bytes.
  public var ancillary: Ancillary?

  public init(_ bytes: [UInt8], ancillary: Ancillary? = nil) {
    self.bytes = bytes
    self.ancillary = ancillary
  }

  /// Receives a datagram of this size, with one attempt.
  package static func receive(
    _ byteCount: Int, rest: UnsafeMutableRawBufferPointer = unsafe .init(start: nil, count: 0),
    _ take: (Datagram) -> Void,
    by receive: (UnsafeMutableRawBufferPointer, inout Ancillary?) -> Attempt
  ) -> Attempt {
    var attempt = Attempt.wouldBlock
    var found: Ancillary?
    // For a transport that does not know the size, room for the largest usual one is reserved.
    var bytes = unsafe [UInt8](unsafeUninitializedCapacity: max(byteCount, 1)) { memory, count in
      attempt = unsafe receive(UnsafeMutableRawBufferPointer(memory), &found)
      if case .transferred(let received) = attempt { count = min(received, memory.count) }
    }
    guard case .transferred(let received) = attempt else { return attempt }
    if received > bytes.count { unsafe bytes += rest[..<(received - bytes.count)] }
    // An array keeps its capacity, so a datagram that is much smaller than its room is copied to an array of its own size.
    if byteCount - bytes.count > 1_024, bytes.count < byteCount / 2 {
      bytes = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    }
    take(Datagram(bytes, ancillary: found))
    return attempt
  }
}

/// Memory for UDP datagrams of any size. Pages that are never written cost no memory. It is pooled, so it is mapped once and
/// not for every receive.
@safe
// Invariant: the code that has taken the room owns `memory` until it gives the room back.
final class DatagramRoom: @unchecked Sendable {
  let memory = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)

  deinit { unsafe memory.deallocate() }

  /// A datagram is shorter, because its length, including the header, has 16 bits.
  static var slotSize: Int { 65_536 }
  static var slotCount: Int { 16 }
  static var byteCount: Int { slotCount * slotSize }

  private static let pool = Guarded<[DatagramRoom]>([])
  private static var poolLimit: Int { 4 }

  static func take() -> DatagramRoom { pool.withLock { $0.popLast() } ?? DatagramRoom() }

  static func giveBack(_ room: DatagramRoom) {
    pool.withLock { pool in if pool.count < poolLimit { pool.append(room) } }
  }
}
