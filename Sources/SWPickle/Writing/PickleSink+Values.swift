// Writes opcodes, and the values that are not containers. No function here ends a frame. The callers do that, because they
// know where an object begins.

extension PickleSink {
  @inline(__always)
  final func write(_ opcode: PickleOpcode) {
    unsafe room(for: 1).pointee = opcode.rawValue
    advance(by: 1)
  }

  /// Writes an opcode and a little-endian number. It always stores eight bytes, because one store is faster than a loop.
  @inline(__always)
  final func write(_ opcode: PickleOpcode, _ number: Int, byteCount: Int) {
    let room = unsafe room(for: 9)
    unsafe room.pointee = opcode.rawValue
    unsafe UnsafeMutableRawPointer(room + 1).storeBytes(of: number.littleEndian, as: Int.self)
    advance(by: 1 + byteCount)
  }

  @inline(__always)
  final func write(_ value: Bool) { write(value ? .newTrue : .newFalse) }

  @inline(__always)
  final func write(_ value: Int) {
    if 0...0xff ~= value {
      write(.binaryInt1, value, byteCount: 1)
    } else if 0...0xffff ~= value {
      write(.binaryInt2, value, byteCount: 2)
    } else if let narrow = Int32(exactly: value) {
      write(.binaryInt, Int(narrow), byteCount: 4)
    } else {
      writeLong(value)
    }
  }

  /// Writes LONG1, the number of bytes, and the shortest two's complement.
  @inline(__always)
  private final func writeLong(_ value: Int) {
    let byteCount = (Int.bitWidth - (value < 0 ? ~value : value).leadingZeroBitCount) / 8 + 1
    let room = unsafe room(for: 10)
    unsafe room.pointee = PickleOpcode.long1.rawValue
    unsafe room[1] = UInt8(byteCount)
    unsafe UnsafeMutableRawPointer(room + 2).storeBytes(of: value.littleEndian, as: Int.self)
    advance(by: 2 + byteCount)
  }

  @inline(__always)
  final func write(_ value: some FixedWidthInteger) {
    if let small = Int(exactly: value) { write(small) } else { write(PickleInt(value)) }
  }

  @inline(never)
  final func write(_ value: PickleInt) {
    if let small = value.small { return write(small) }
    let bytes = value.twosComplement
    write(bytes.count < 256 ? .long1 : .long4, bytes.count, byteCount: bytes.count < 256 ? 1 : 4)
    append(bytes.span)
  }

  @inline(__always)
  final func write(_ value: Double) {
    let room = unsafe room(for: 9)
    unsafe room.pointee = PickleOpcode.binaryFloat.rawValue
    unsafe UnsafeMutableRawPointer(room + 1).storeBytes(of: value.bitPattern.bigEndian, as: UInt64.self)
    advance(by: 9)
  }

  @inline(__always)
  final func append(_ bytes: borrowing Span<UInt8>) {
    unsafe bytes.withUnsafeBufferPointer { bytes in unsafe append(bytes) }
  }

  @inline(__always)
  final func append(_ bytes: UnsafeBufferPointer<UInt8>) {
    let room = unsafe room(for: bytes.count)
    if let start = bytes.baseAddress { unsafe room.update(from: start, count: bytes.count) }
    advance(by: bytes.count)
  }

  /// Writes a str, and numbers it.
  @inline(__always)
  final func write(_ text: String) {
    // The bytes are copied from their place, because a copy of the string would retain it.
    let isWritten: Void? = unsafe text.utf8.withContiguousStorageIfAvailable { bytes in
      unsafe write(text: bytes)
    }
    if isWritten == nil { writeElsewhere(text) }
  }

  /// Writes text whose bytes are not in Swift's native storage.
  @inline(never)
  private final func writeElsewhere(_ text: String) {
    var text = text
    text.withUTF8 { bytes in unsafe write(text: bytes) }
  }

  @inline(__always)
  final func write(text bytes: UnsafeBufferPointer<UInt8>) {
    guard bytes.count < 256 else { return unsafe write(longText: bytes) }
    let room = unsafe room(for: bytes.count + 3)
    unsafe room.pointee = PickleOpcode.shortBinaryUnicode.rawValue
    unsafe room[1] = UInt8(truncatingIfNeeded: bytes.count)
    if let start = bytes.baseAddress { unsafe Self.copyShort(start, to: room + 2, bytes.count) }
    unsafe room[2 + bytes.count] = PickleOpcode.memoize.rawValue
    advance(by: bytes.count + 3)
    unsafe core.pointee.memoCount += 1
  }

  /// Copies a few bytes. Most texts have at most 16, which two overlapping words cover. A call of `memcpy` takes twenty
  /// instructions more.
  @inline(__always)
  private static func copyShort(
    _ source: UnsafePointer<UInt8>, to target: UnsafeMutablePointer<UInt8>, _ count: Int
  ) {
    let (from, to) = unsafe (UnsafeRawPointer(source), UnsafeMutableRawPointer(target))
    if 8...16 ~= count {
      let (first, last) = unsafe (
        from.loadUnaligned(as: UInt64.self), from.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self)
      )
      unsafe to.storeBytes(of: first, as: UInt64.self)
      unsafe to.storeBytes(of: last, toByteOffset: count - 8, as: UInt64.self)
    } else if 4..<8 ~= count {
      let (first, last) = unsafe (
        from.loadUnaligned(as: UInt32.self), from.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self)
      )
      unsafe to.storeBytes(of: first, as: UInt32.self)
      unsafe to.storeBytes(of: last, toByteOffset: count - 4, as: UInt32.self)
    } else {
      unsafe target.update(from: source, count: count)
    }
  }

  @inline(never)
  private final func write(longText bytes: UnsafeBufferPointer<UInt8>) {
    let start = count
    let isShort = bytes.count <= 0xffff_ffff
    write(isShort ? .binaryUnicode : .binaryUnicode8, bytes.count, byteCount: isShort ? 4 : 8)
    unsafe append(bytes)
    if bytes.count >= Self.frameTarget { leaveOutside(from: start) }
    memoize()
  }

  /// Writes a bytes object, and numbers it.
  final func write(_ bytes: [UInt8]) {
    let count = bytes.count
    write(
      count < 256 ? .shortBinaryBytes : count <= 0xffff_ffff ? .binaryBytes : .binaryBytes8,
      lengthByteCount: count < 256 ? 1 : count <= 0xffff_ffff ? 4 : 8, bytes)
    memoize()
  }

  /// Writes an opcode with a length, and that many bytes. Large ones are outside every frame and are not copied.
  final func write(_ opcode: PickleOpcode, lengthByteCount: Int, _ bytes: [UInt8]) {
    let start = count
    write(opcode, bytes.count, byteCount: lengthByteCount)
    if bytes.count >= Self.frameTarget { leaveOutside(from: start, bytes) } else { append(bytes.span) }
  }

  // MARK: The memo

  /// Numbers the last object, as the unpickler will.
  @inline(__always)
  final func memoize() {
    write(.memoize)
    unsafe core.pointee.memoCount += 1
  }

  @inline(__always)
  final func get(_ number: Int) {
    write(number < 256 ? .binaryGet : .longBinaryGet, number, byteCount: number < 256 ? 1 : 4)
  }

  // MARK: Arrays

  /// Writes a list in batches, as ``PickleWriter`` does. `write` writes one element and nothing else.
  @inline(__always)
  final func writeList<Element>(_ elements: [Element], _ write: (Element) -> Void) {
    self.write(.emptyList)
    memoize()
    if elements.isEmpty { return }
    if elements.count == 1 {
      boundary()
      write(elements[0])
      return self.write(.append)
    }
    var left = 0
    for element in elements {
      if left == 0 {
        left = PickleWriter.batch
        self.write(.mark)
      }
      boundary()
      write(element)
      left -= 1
      if left == 0 { self.write(.appends) }
    }
    if left > 0 { self.write(.appends) }
  }
}
