internal import Synchronization

/// Received bytes that no frame has taken yet: one block of memory, one cursor.
///
/// An empty buffer holds no memory. The usual block comes from a pool, and returns to it as soon as nothing is unread. So
/// idle endpoints cost no memory.
@safe
package struct ReceiveBuffer: ~Copyable {
  /// The size of a pooled block, which is also the most that one attempt reads ahead.
  package static var blockSize: Int { 65_536 }
  /// The most memory that is reserved for a declared length alone. It costs address space, and memory only when bytes
  /// arrive.
  package static var trustedSize: Int { 16 << 20 }

  /// The reservation for a frame of which `count` bytes have been received.
  ///
  /// If the declared length is above `trustedSize`, the reservation grows with the bytes that have arrived. It becomes the
  /// whole length when a quarter is there. So when bytes are copied to a larger block, less than half of the frame is there,
  /// and both blocks together never take more than the frame will.
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

  /// The number of unread bytes.
  package var count: Int { end - start }
  package var isEmpty: Bool { start == end }
  /// The size of the memory, for tests of what an idle endpoint holds.
  package var capacity: Int { unsafe block.count }

  /// The unread bytes. They are valid until the buffer changes.
  package var unread: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: block[start..<end])
  }

  /// Lends the unread bytes.
  package borrowing func withUnread<Result, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Invariant: the block is initialised from start to end, and is not moved while the bytes are lent.
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: block[start..<end]).assumingMemoryBound(
      to: UInt8.self)
    return try body(unsafe Span(_unsafeElements: bytes))
  }

  /// Makes room for at least `minimum` bytes behind the unread bytes, and lends at most `maximum` bytes of it. If `declared`
  /// is a trusted size, the room suffices for all of it.
  ///
  /// - Returns: the result of `body`. As many bytes as `body` says it has filled become unread.
  package mutating func fill<Result>(
    minimum: Int, maximum: Int, declared: Int,
    _ body: (UnsafeMutableRawBufferPointer) -> (count: Int, result: Result)
  ) -> Result {
    reserve(minimum, declared: declared)
    let room = unsafe UnsafeMutableRawBufferPointer(
      rebasing: block[end..<end + min(maximum, block.count - end)])
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

  /// Removes bytes from the front.
  package mutating func consume(_ byteCount: Int) {
    precondition(byteCount <= count, "more consumed than received")
    start += byteCount
    if start == end { (start, end) = (0, 0) }
  }

  /// Frees the memory if nothing is unread.
  package mutating func releaseIfEmpty() {
    guard isEmpty, unsafe block.count > 0 else { return }
    unsafe BlockPool.giveBack(block)
    unsafe block = .init(start: nil, count: 0)
  }

  /// Moves a short rest to memory of its own size. Otherwise a peer that sends part of a frame and stops would keep a mostly
  /// empty block in use.
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
    if unsafe block.baseAddress == nil, max(room, declared) <= Self.blockSize {
      // Most receives begin here, with nothing to move or to give back.
      unsafe block = BlockPool.take(Self.blockSize)
      return
    }
    if unsafe block.count - count >= room, unsafe count <= block.count / 2 {
      // The unread rest moves to the front, each byte at most once for half a block of consumed bytes.
      unsafe block.copyMemory(from: UnsafeRawBufferPointer(rebasing: block[start..<end]))
      (start, end) = (0, count)
      return
    }
    let needed = count + room
    // The size is at least doubled. A framing that searches for an end demands byte by byte, and would otherwise have all
    // bytes copied each time. When a block for a declared frame grows, less than half of the frame is there.
    let size = max(
      needed, Self.reservation(for: max(declared, needed), holding: count), 2 * count, Self.blockSize)
    let larger = unsafe BlockPool.take(size)
    unsafe larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: block[start..<end]))
    unsafe BlockPool.giveBack(block)
    unsafe block = larger
    (start, end) = (0, count)
  }
}

/// The blocks that are not in use.
private enum BlockPool {
  @safe
  // Invariant: a pooled block belongs to the pool alone.
  private struct Blocks: @unchecked Sendable {
    var free: [UnsafeMutableRawBufferPointer] = unsafe []
  }
  private static let blocks = Mutex(Blocks())
  private static var limit: Int { 16 }
  #if SW_TSAN
    /// The thread sanitizer does not understand this mutex under contention, so nothing is pooled then.
    private static var isPooling: Bool { false }
  #else
    private static var isPooling: Bool { true }
  #endif

  static func take(_ size: Int) -> UnsafeMutableRawBufferPointer {
    if isPooling, size == ReceiveBuffer.blockSize {
      // Invariant: the block leaves the pool here.
      nonisolated(unsafe) var pooled: UnsafeMutableRawBufferPointer?
      blocks.withLock { blocks in unsafe pooled = blocks.free.popLast() }
      if let pooled = unsafe pooled { return unsafe pooled }
    }
    return .allocate(byteCount: size, alignment: 16)
  }

  static func giveBack(_ block: UnsafeMutableRawBufferPointer) {
    // Invariant: the caller has given the block up.
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
