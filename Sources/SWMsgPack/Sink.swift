internal import CMsgPack

/// Memory that values are packed into, and the containers that are open in it.
@safe
final class Sink {
  /// C's own, so that its functions can be called without a check for exclusive access at every value.
  let sink: UnsafeMutablePointer<swmp_sink>
  /// What was encoded apart, and where in these bytes it belongs, in order.
  private var parts: [(place: Int, state: EncodingState)] = []

  init() {
    unsafe sink = .allocate(capacity: 1)
    unsafe sink.initialize(to: swmp_sink())
  }

  deinit {
    unsafe swmp_sink_free(sink)
    unsafe sink.deallocate()
  }

  var count: Int { unsafe sink.pointee.count }

  /// As long as the sink lives and nothing is written.
  var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: sink.pointee.bytes, count: sink.pointee.count)
  }

  var array: [UInt8] { withExtendedLifetime(self) { unsafe Array(bytes) } }

  /// How far it has come.
  struct Mark: Equatable {
    fileprivate let count: Int
    fileprivate let parts: Int
  }

  @inline(__always)
  var mark: Mark { Mark(count: count, parts: parts.count) }

  /// Takes back what was written behind a mark, of a value whose encoding has failed.
  func truncate(to mark: Mark) {
    unsafe sink.pointee.count = mark.count
    parts.removeSubrange(mark.parts...)
  }

  /// Remembers a place for what is encoded apart.
  func reserve(for part: EncodingState) { parts.append((count, part)) }

  /// Puts in what was encoded apart.
  func gather() throws {
    guard !parts.isEmpty else { return }
    let whole = Sink()
    var end = 0
    for part in parts {
      try part.state.finish()
      unsafe whole.append(UnsafeRawBufferPointer(rebasing: bytes[end..<part.place]))
      unsafe whole.append(part.state.sink.bytes)
      end = part.place
    }
    unsafe whole.append(UnsafeRawBufferPointer(rebasing: bytes[end...]))
    parts = []
    withExtendedLifetime(whole) { unsafe swap(&sink.pointee, &whole.sink.pointee) }
  }

  /// Moves places behind a header that has become longer.
  private func shift(from place: Int, by byteCount: Int) {
    for index in parts.indices where parts[index].place > place { parts[index].place += byteCount }
  }

  private func append(_ bytes: UnsafeRawBufferPointer) {
    unsafe swmp_insert(sink, count, bytes.baseAddress, bytes.count)
  }

  @inline(__always)
  func write(_ text: String) {
    var text = text
    text.withUTF8 { units in unsafe swmp_write_string(sink, units.baseAddress, units.count) }
  }

  /// Closes a container, whose header moves what lies behind it when it is long.
  func close(at place: Int, count: Int, isMap: Bool) {
    let before = self.count
    unsafe swmp_close(sink, place, count, isMap)
    if self.count > before, !parts.isEmpty { shift(from: place, by: self.count - before) }
  }

  /// Packs a value.
  ///
  /// - Parameter room: how many containers may lie in each other.
  func write(_ value: MsgPackValue, room: Int) throws {
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

  private func check(_ count: Int, of value: MsgPackValue, room: Int = 1) throws {
    if count > UInt32.max {
      throw EncodingError.invalidValue(
        value, .init(codingPath: [], debugDescription: "MessagePack counts to 4,294,967,295, not to \(count)")
      )
    }
    if room == 0 {
      throw EncodingError.invalidValue(
        value, .init(codingPath: [], debugDescription: "containers lie in each other too deeply"))
    }
  }
}
