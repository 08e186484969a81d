internal import Synchronization

/// Received bytes that no frame has taken yet: one block of memory, one cursor.
///
/// Empty it holds no memory. The usual block comes from a pool and goes back as soon as nothing is
/// unread, so that an idle endpoint costs nothing and ten thousand idle ones neither.
@safe
package struct ReceiveBuffer: ~Copyable {
  /// The size of a pooled block: what one attempt reads ahead at most.
  package static var blockSize: Int { 65_536 }
  /// How much may be reserved on a frame's word alone. It costs address space, and memory only as
  /// bytes arrive.
  package static var trustedSize: Int { 16 << 20 }

  /// How much to reserve for a frame of which so many bytes are there.
  ///
  /// A larger frame than is trusted has to prove itself: the reservation grows with what did arrive. It
  /// goes to the end as soon as a quarter is there. So whenever bytes are copied to a larger place, less
  /// than half the frame is there yet, and old and new together never take more than the frame will.
  package static func reservation(for declared: Int, holding count: Int) -> Int {
    if declared <= trustedSize { return declared }
    if count < trustedSize / 2 { return trustedSize / 2 }
    return declared / 4 <= count ? declared : 2 * count
  }

  private var block: UnsafeMutableRawBufferPointer = unsafe .init(start: nil, count: 0)
  private var start = 0
  private var end = 0

  package init() {}

  package init(_ bytes: [UInt8]) {
    append(copying: bytes.span)
  }

  deinit { unsafe BlockPool.giveBack(block) }

  /// How many bytes are unread.
  package var count: Int { end - start }
  package var isEmpty: Bool { start == end }
  /// For tests of what an idle endpoint holds.
  package var capacity: Int { unsafe block.count }

  /// The unread bytes, until anything here changes.
  package var unread: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: block[start..<end])
  }

  /// Lends the unread bytes.
  package borrowing func withUnread<Result, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Invariant: start ... end of the block are initialised, and nothing moves them while they are lent.
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: block[start..<end]).assumingMemoryBound(
      to: UInt8.self)
    return try body(unsafe Span(_unsafeElements: bytes))
  }

  /// Makes room after the unread bytes for `minimum` bytes at least, so that `declared` will fit if it
  /// is a trusted size, and lends the room, `maximum` bytes at the most.
  ///
  /// - Returns: what `body` returns, after taking in as many bytes as `body` says it filled.
  package mutating func fill<Result>(
    minimum: Int, maximum: Int, declared: Int,
    _ body: (UnsafeMutableRawBufferPointer) -> (count: Int, result: Result)
  ) -> Result {
    reserve(minimum, declared: declared)
    let free = unsafe block[end...]
    let room = unsafe UnsafeMutableRawBufferPointer(rebasing: free.prefix(maximum))
    let (filled, result) = unsafe body(room)
    precondition(filled >= 0 && filled <= room.count, "a transport received more than there was room for")
    end += filled
    return result
  }

  package mutating func append(copying bytes: Span<UInt8>) {
    guard !bytes.isEmpty else { return }
    unsafe fill(minimum: bytes.count, maximum: bytes.count, declared: count + bytes.count) { room in
      unsafe bytes.withUnsafeBytes { source in unsafe room.copyMemory(from: source) }
      return (bytes.count, ())
    }
  }

  /// Takes bytes off the front.
  package mutating func consume(_ byteCount: Int) {
    precondition(byteCount <= count, "more consumed than received")
    start += byteCount
    if start == end { (start, end) = (0, 0) }
  }

  /// Gives the memory back if nothing is unread.
  package mutating func releaseIfEmpty() {
    guard isEmpty, unsafe block.count > 0 else { return }
    unsafe BlockPool.giveBack(block)
    unsafe block = .init(start: nil, count: 0)
  }

  /// Moves a short rest to memory of its own size. Most of a block holds nothing then, and a peer that sends a part
  /// of a frame and stops must not keep it.
  package mutating func shrink() {
    guard count > 0, unsafe count <= block.count / 4 else { return }
    let smaller = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    unsafe smaller.copyMemory(from: unread)
    unsafe BlockPool.giveBack(block)
    unsafe block = smaller
    (start, end) = (0, smaller.count)
  }

  private mutating func reserve(_ room: Int, declared: Int) {
    if unsafe block.count - end >= room { return }
    if unsafe block.count - count >= room, unsafe count <= block.count / 2 {
      // The unread rest moves to the front: each byte at most once per half a block consumed.
      unsafe block.copyMemory(from: UnsafeRawBufferPointer(rebasing: block[start..<end]))
      (start, end) = (0, count)
      return
    }
    let needed = count + room
    // Twice what is there at least: a demand that grows byte by byte, of a framing that searches for an end,
    // would have everything copied each time. Of a declared frame less than half is there when it grows.
    let size = max(
      needed, Self.reservation(for: max(declared, needed), holding: count), 2 * count, Self.blockSize)
    let larger = unsafe BlockPool.take(size)
    unsafe larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: block[start..<end]))
    unsafe BlockPool.giveBack(block)
    unsafe block = larger
    (start, end) = (0, count)
  }
}

/// The blocks that no buffer uses.
private enum BlockPool {
  @safe
  // Invariant: a pooled block belongs to the pool alone.
  private struct Blocks: @unchecked Sendable {
    var free: [UnsafeMutableRawBufferPointer] = unsafe []
  }
  private static let blocks = Mutex(Blocks())
  private static var limit: Int { 16 }
  #if SW_TSAN
    /// The thread sanitizer does not understand this mutex when it is contended: nothing is pooled.
    private static var isPooling: Bool { false }
  #else
    private static var isPooling: Bool { true }
  #endif

  static func take(_ size: Int) -> UnsafeMutableRawBufferPointer {
    if isPooling, size == ReceiveBuffer.blockSize {
      // Invariant: it leaves the pool with this.
      nonisolated(unsafe) var pooled: UnsafeMutableRawBufferPointer?
      blocks.withLock { blocks in unsafe pooled = blocks.free.popLast() }
      if let pooled = unsafe pooled { return unsafe pooled }
    }
    return .allocate(byteCount: size, alignment: 16)
  }

  static func giveBack(_ block: UnsafeMutableRawBufferPointer) {
    // Invariant: the caller has given it up.
    nonisolated(unsafe) let block = unsafe block
    let isKept =
      unsafe isPooling && block.count == ReceiveBuffer.blockSize
      && blocks.withLock { blocks in
        guard unsafe blocks.free.count < limit else { return false }
        unsafe blocks.free.append(block)
        return true
      }
    if !isKept { unsafe block.deallocate() }
  }
}
