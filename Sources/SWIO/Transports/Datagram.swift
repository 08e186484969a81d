internal import CSysShim
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
    _ byteCount: Int, _ take: (Datagram) -> Void,
    by receive: (UnsafeMutableRawBufferPointer, inout Ancillary?) -> Attempt
  ) -> Attempt {
    var attempt = Attempt.wouldBlock
    var found: Ancillary?
    // For a transport that does not know the size, room for the largest usual one is reserved.
    var bytes = unsafe [UInt8](unsafeUninitializedCapacity: max(byteCount, 1)) { memory, count in
      attempt = unsafe receive(UnsafeMutableRawBufferPointer(memory), &found)
      if case .transferred(let received) = attempt { count = min(received, memory.count) }
    }
    guard case .transferred = attempt else { return attempt }
    // An array keeps its capacity, so a datagram that is much smaller than its room is copied to an array of its own size.
    if byteCount - bytes.count > 1_024, bytes.count < byteCount / 2 {
      bytes = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    }
    take(Datagram(bytes, ancillary: found))
    return attempt
  }
}

/// Memory for datagrams of any size. Pages that are never written cost no memory. It is pooled, so it is mapped once and
/// not for every receive.
@safe
// Invariant: the code that has taken the room owns `memory` until it gives the room back.
package final class DatagramRoom: @unchecked Sendable {
  package let memory: UnsafeMutableRawPointer
  let byteCount: Int

  private init() {
    var size = Self.largestSize
    // A limit of the address space may allow less.
    var mapped = unsafe swsys_map_room(size)
    while unsafe mapped == nil, size > Self.keptSize {
      size /= 2
      unsafe mapped = swsys_map_room(size)
    }
    guard let mapped = unsafe mapped else { fatalError("there is no memory for a datagram") }
    unsafe memory = mapped
    byteCount = size
  }

  deinit { unsafe swsys_unmap_room(memory, byteCount) }

  /// A UDP datagram is shorter, because its length, including the header, has 16 bits.
  static var slotSize: Int { 65_536 }
  static var slotCount: Int { 16 }

  /// A Unix datagram is shorter, whatever size of buffer its sender has been given (SO_SNDBUFFORCE). The kernel takes one block
  /// of memory and some pages for it. The largest block has 4 MiB where pages have 4 KiB, and 512 MiB where they have 64 KiB.
  static var largestSize: Int { swsys_page_size() * 16_384 }

  /// How much of a room stays in memory when it is given back.
  package static var keptSize: Int { slotCount * slotSize }

  /// Gives back the memory that only a large datagram needs.
  package func noteUse(of count: Int) {
    if count > Self.keptSize { unsafe swsys_drop_pages(memory + Self.keptSize, count - Self.keptSize) }
  }

  private static let pool = Guarded<[DatagramRoom]>([])
  private static var poolLimit: Int { 4 }

  package static func take() -> DatagramRoom { pool.withLock { $0.popLast() } ?? DatagramRoom() }

  package static func giveBack(_ room: DatagramRoom) {
    pool.withLock { pool in if pool.count < poolLimit { pool.append(room) } }
  }
}
