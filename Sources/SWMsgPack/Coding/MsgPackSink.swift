internal import CMsgPack

/// The memory into which values are packed, with its open containers.
@safe
class MsgPackSink {
  /// The C sink, in plain memory, so its functions need no check for exclusivity for every value.
  final let sink: UnsafeMutablePointer<swmp_sink>
  /// The values that were encoded separately, and their positions in these bytes, in order.
  final private(set) var parts: [(place: Int, state: MsgPackEncodingState)] = []

  /// - Parameter memory: memory of the C library that begins with an empty sink.
  init(in memory: UnsafeMutablePointer<swmp_sink>) { unsafe sink = unsafe memory }

  convenience init(usesOldRaw: Bool = false) {
    let memory = unsafe swmp_allocate(MemoryLayout<swmp_sink>.size).assumingMemoryBound(to: swmp_sink.self)
    unsafe memory.initialize(to: swmp_sink())
    unsafe memory.pointee.uses_old_raw = usesOldRaw
    unsafe self.init(in: memory)
  }

  deinit {
    unsafe swmp_sink_free(sink)
    unsafe swmp_deallocate(sink)
  }

  final var count: Int { unsafe sink.pointee.count }

  /// The bytes. They are valid until the next write, and while the sink lives.
  final var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: sink.pointee.bytes, count: sink.pointee.count)
  }

  final var array: [UInt8] { withExtendedLifetime(self) { unsafe Array(bytes) } }

  /// A position to which the sink can be truncated.
  struct Mark: Equatable {
    fileprivate let count: Int
    fileprivate let parts: Int
  }

  @inline(__always)
  final var mark: Mark { unsafe Mark(count: count, parts: sink.pointee.parts) }

  /// Removes what was written since a mark, of a value whose encoding has failed.
  final func truncate(to mark: Mark) {
    unsafe sink.pointee.count = mark.count
    unsafe sink.pointee.parts = mark.parts
    parts.removeSubrange(mark.parts...)
  }

  /// Reserves the position of a value that is encoded separately.
  final func reserve(for part: MsgPackEncodingState) {
    parts.append((count, part))
    unsafe sink.pointee.parts = parts.count
  }

  /// Inserts the values that were encoded separately.
  final func gather() throws {
    guard unsafe sink.pointee.parts > 0 else { return }
    let whole = unsafe MsgPackSink(usesOldRaw: sink.pointee.uses_old_raw)
    var end = 0
    for part in parts {
      try part.state.finish()
      unsafe whole.append(UnsafeRawBufferPointer(rebasing: bytes[end..<part.place]))
      unsafe whole.append(part.state.bytes)
      end = part.place
    }
    unsafe whole.append(UnsafeRawBufferPointer(rebasing: bytes[end...]))
    parts = []
    withExtendedLifetime(whole) { unsafe swap(&sink.pointee, &whole.sink.pointee) }
  }

  /// Moves positions behind a header that has become longer.
  private final func shift(from place: Int, by byteCount: Int) {
    for index in parts.indices where parts[index].place > place { parts[index].place += byteCount }
  }

  final func append(_ bytes: UnsafeRawBufferPointer) {
    unsafe swmp_insert(sink, count, bytes.baseAddress, bytes.count)
  }

  @inline(__always)
  final func write(_ text: String) {
    // The bytes are copied from their place, because a copy of the string would retain it.
    let isWritten: Void? = unsafe text.utf8.withContiguousStorageIfAvailable { units in
      unsafe swmp_write_string(sink, units.baseAddress, units.count)
    }
    if isWritten == nil { writeElsewhere(text) }
  }

  /// Writes text whose bytes are not in Swift's native storage.
  @inline(never)
  private final func writeElsewhere(_ text: String) {
    var text = text
    text.withUTF8 { units in unsafe swmp_write_string(sink, units.baseAddress, units.count) }
  }

  /// Closes a container. A long header moves the bytes behind it.
  final func close(at place: Int, count: Int, isMap: Bool) {
    let before = self.count
    unsafe swmp_close(sink, place, count, isMap)
    if self.count > before, unsafe sink.pointee.parts > 0 { shift(from: place, by: self.count - before) }
  }

  /// Packs a value.
  ///
  /// - Parameter room: how many containers may be nested.
  final func write(_ value: MsgPackValue, room: Int) throws {
    switch value {
    case .null: unsafe swmp_write_nil(sink)
    case .bool(let value): unsafe swmp_write_bool(sink, value)
    case .int(let value): unsafe swmp_write_int(sink, value)
    case .uint(let value): unsafe swmp_write_uint(sink, value)
    case .float(let value): unsafe swmp_write_float(sink, value)
    case .double(let value): unsafe swmp_write_double(sink, value)
    case .string(let text):
      try check(text.utf8.count, of: value)
      write(text)
    case .binary(let bytes):
      try check(bytes.count, of: value)
      unsafe bytes.withUnsafeBytes { unsafe swmp_write_binary(sink, $0.baseAddress, $0.count) }
    case .extension(let type, let bytes):
      try check(bytes.count, of: value)
      unsafe bytes.withUnsafeBytes { unsafe swmp_write_extension(sink, type, $0.baseAddress, $0.count) }
    case .array(let elements):
      try check(elements.count, of: value, room: room)
      unsafe swmp_write_array(sink, elements.count)
      for element in elements { try write(element, room: room - 1) }
    case .map(let pairs):
      try check(pairs.count, of: value, room: room)
      unsafe swmp_write_map(sink, pairs.count)
      for pair in pairs {
        try write(pair.key, room: room - 1)
        try write(pair.value, room: room - 1)
      }
    }
  }

  private final func check(_ count: Int, of value: MsgPackValue, room: Int = 1) throws {
    if count > UInt32.max {
      throw EncodingError.invalidValue(
        value,
        .init(
          codingPath: [],
          debugDescription: "cannot encode \(count) bytes or elements as one MessagePack value; "
            + "the limit is 4,294,967,295")
      )
    }
    if room == 0 {
      throw EncodingError.invalidValue(
        value, .init(codingPath: [], debugDescription: "cannot encode: nested more deeply than the limit"))
    }
  }
}
