/// The opcodes of a pickle that is being written, and how they are cut into frames.
///
/// The opcodes are in contiguous plain memory, without the headers of frames. The headers are inserted at the end, by the
/// one copy that makes an array. So an opcode is one store, and no access is checked for exclusivity. (An array as a
/// property of the writer took 45 % of the instructions.)
///
/// Frames are those of CPython's C pickler: a frame ends before the first object at which it has 64 KiB. Bytes and strings
/// of that size are outside every frame.
///
/// ```
///     80 04                        protocol
///     95  uint64, little-endian    frame: the number of bytes that follow; left out if they are fewer than 4
///     … opcodes …
///     2e                           stop
/// ```
///
/// Source: CPython 3.13, `Modules/_pickle.c` (`_Pickler_OpcodeBoundary`, `_Pickler_write_bytes`).
@safe
class PickleSink {
  /// The state that each opcode accesses.
  @safe
  struct Core {
    var bytes: UnsafeMutablePointer<UInt8>
    var count = 0
    var capacity: Int
    /// The start of the current frame.
    var frame = 0
    /// The number of objects that have been numbered, which is the number of the next one.
    var memoCount = 0
    /// How many cuts there are.
    var cutCount = 0
  }

  final let core: UnsafeMutablePointer<Core>
  /// Room before the opcodes for PROTO and the header of a frame, so the result is one copy of plain memory. An array that a
  /// closure fills takes 350 instructions more.
  private static let headerRoom = 16
  /// Memory for a subclass.
  final let extra: UnsafeMutableRawPointer
  private final let firstBytes: UnsafeMutablePointer<UInt8>
  final let version: PickleProtocol
  /// The ends of frames and the parts outside of them, in order.
  final private(set) var cuts: [PickleCut] = []

  static let frameTarget = 64 << 10
  private static let frameMinimum = 4

  /// - Parameter extraByteCount: the size of the subclass's memory. It is in the same allocation as the object's own state
  ///   and the first bytes, because four allocations took a third of the time of a small message.
  init(_ version: PickleProtocol, extraByteCount: Int = 0) {
    self.version = version
    let capacity = 512
    let coreByteCount = MemoryLayout<Core>.stride
    let before = coreByteCount + extraByteCount + Self.headerRoom
    // The alignment is 8, because for 16 another function of the C library would be called, with 100 instructions more.
    let memory = UnsafeMutableRawPointer.allocate(byteCount: before + capacity, alignment: 8)
    unsafe core = memory.assumingMemoryBound(to: Core.self)
    unsafe extra = unsafe memory + coreByteCount
    unsafe firstBytes = unsafe (memory + before).assumingMemoryBound(to: UInt8.self)
    unsafe core.initialize(to: Core(bytes: firstBytes, capacity: capacity))
  }

  deinit {
    freeBytes()
    unsafe core.deallocate()
  }

  // MARK: Memory

  @inline(__always)
  final var count: Int { unsafe core.pointee.count }

  @inline(__always)
  final var memoCount: Int { unsafe core.pointee.memoCount }

  /// Returns memory for this number of bytes, behind the present ones.
  @inline(__always)
  final func room(for byteCount: Int) -> UnsafeMutablePointer<UInt8> {
    if unsafe core.pointee.capacity - core.pointee.count < byteCount { grow(byteCount) }
    return unsafe core.pointee.bytes + core.pointee.count
  }

  @inline(never)
  private final func grow(_ byteCount: Int) {
    let capacity = unsafe max(2 * core.pointee.capacity, core.pointee.count + byteCount)
    let larger =
      unsafe UnsafeMutablePointer<UInt8>.allocate(capacity: Self.headerRoom + capacity) + Self.headerRoom
    unsafe larger.update(from: core.pointee.bytes, count: core.pointee.count)
    freeBytes()
    unsafe core.pointee.bytes = unsafe larger
    unsafe core.pointee.capacity = capacity
  }

  private final func freeBytes() {
    if unsafe core.pointee.bytes != firstBytes { unsafe (core.pointee.bytes - Self.headerRoom).deallocate() }
  }

  @inline(__always)
  final func advance(by byteCount: Int) { unsafe core.pointee.count += byteCount }

  /// Returns the bytes in a range. They are valid until the next write.
  final func bytes(_ range: Range<Int>) -> UnsafeBufferPointer<UInt8> {
    unsafe UnsafeBufferPointer(rebasing: UnsafeBufferPointer(start: core.pointee.bytes, count: count)[range])
  }

  /// A position to which the sink can be truncated.
  struct Mark {
    var count: Int
    var memoCount: Int
    var frame: Int
    var cutCount: Int
  }

  @inline(__always)
  final var mark: Mark {
    unsafe Mark(
      count: core.pointee.count, memoCount: core.pointee.memoCount, frame: core.pointee.frame,
      cutCount: core.pointee.cutCount)
  }

  /// Removes what was written since a mark.
  final func truncate(to mark: Mark) {
    unsafe core.pointee.count = mark.count
    unsafe core.pointee.memoCount = mark.memoCount
    unsafe core.pointee.frame = mark.frame
    if mark.cutCount < cuts.count { cuts.removeSubrange(mark.cutCount...) }
    unsafe core.pointee.cutCount = mark.cutCount
  }

  /// Removes a byte, such as a MARK that is not needed.
  ///
  /// - Returns: whether the frames may now differ from those without that byte.
  final func removeByte(at place: Int, cutCount: Int) -> Bool {
    unsafe (core.pointee.bytes + place).update(
      from: core.pointee.bytes + place + 1, count: count - place - 1)
    unsafe core.pointee.count -= 1
    if unsafe core.pointee.frame > place { unsafe core.pointee.frame -= 1 }
    if cutCount == cuts.count { return false }
    for index in cutCount..<cuts.count { cuts[index].move(by: -1) }
    guard case .frame = cuts[cutCount].kind else { return false }
    return cuts[cutCount].end - (cutCount > 0 ? cuts[cutCount - 1].end : 0) < Self.frameTarget
  }

  // MARK: Frames

  /// Called before each object: ends a frame that is large enough.
  @inline(__always)
  final func boundary() {
    if unsafe core.pointee.count - core.pointee.frame >= Self.frameTarget { endFrame() }
  }

  @inline(never)
  private final func endFrame() {
    cut(PickleCut(start: count, end: count, kind: .frame))
  }

  /// Puts the bytes from `start` on outside every frame, together with `data`, which follows them and is not copied.
  final func leaveOutside(from start: Int, _ data: [UInt8]? = nil) {
    cut(PickleCut(start: start, end: count, kind: data.map { .data($0) } ?? .outside))
  }

  /// Reserves the position of a value that is encoded separately.
  final func reserve(for part: PickleEncodingState) {
    cuts.append(PickleCut(start: count, end: count, kind: .part(part)))
    unsafe core.pointee.cutCount += 1
  }

  private final func cut(_ cut: PickleCut) {
    cuts.append(cut)
    unsafe core.pointee.cutCount += 1
    unsafe core.pointee.frame = count
  }

  /// Returns the whole pickle, if it is one frame.
  final func finishFrame() -> [UInt8] {
    write(.stop)
    let count = count
    let header = count < Self.frameMinimum ? 2 : 11
    let start = unsafe core.pointee.bytes - header
    unsafe start[0] = PickleOpcode.protocol.rawValue
    unsafe start[1] = version.rawValue
    if header > 2 {
      unsafe start[2] = PickleOpcode.frame.rawValue
      unsafe UnsafeMutableRawPointer(start + 3).storeBytes(of: UInt64(count).littleEndian, as: UInt64.self)
    }
    return unsafe Array(UnsafeRawBufferPointer(start: start, count: header + count))
  }

  /// The whole pickle, in parts; large bytes are a part of their own and have not been copied.
  final func finish() -> [[UInt8]] {
    write(.stop)
    var parts: [[UInt8]] = []
    var part: [UInt8] = []
    part.reserveCapacity(count + 2 + 9 * (cuts.count + 1))
    part += [PickleOpcode.protocol.rawValue, version.rawValue]
    var start = 0
    func append(to end: Int) {
      unsafe part.append(contentsOf: bytes(start..<end))
      start = end
    }
    func appendFrame(to end: Int) {
      let byteCount = end - start
      if byteCount >= Self.frameMinimum {
        part.append(PickleOpcode.frame.rawValue)
        for index in 0..<8 { part.append(UInt8(truncatingIfNeeded: byteCount >> (8 * index))) }
      }
      append(to: end)
    }
    for cut in cuts {
      appendFrame(to: cut.start)
      append(to: cut.end)
      if case .data(let data) = cut.kind {
        parts += [part, data]
        part = []
      }
    }
    appendFrame(to: count)
    return part.isEmpty ? parts : parts + [part]
  }
}

/// An interruption of the opcodes.
struct PickleCut {
  enum Kind {
    /// A frame ends.
    case frame
    /// The opcodes stand outside of frames.
    case outside
    /// The same, followed by bytes that are stored elsewhere.
    case data([UInt8])
    /// The position of a value that is encoded separately.
    case part(PickleEncodingState)
  }

  /// The opcodes concerned. Empty for the end of a frame and for a value that is encoded separately.
  var start: Int
  var end: Int
  var kind: Kind

  mutating func move(by distance: Int) {
    start += distance
    end += distance
  }
}
