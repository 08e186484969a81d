internal import CMsgPack

extension MsgPackValue {
  /// Reads bytes that are exactly one value.
  ///
  /// - Parameters:
  ///   - limits: the limits on the size of the value.
  ///   - usesOldRaw: whether a string that is not UTF-8 becomes ``binary(_:)`` instead of an error, for peers that
  ///     use the format as it was before 2013.
  /// - Throws: ``MsgPackError``.
  public init(
    _ bytes: Span<UInt8>, limits: MsgPackLimits = MsgPackLimits(), usesOldRaw: Bool = false
  ) throws(MsgPackError) {
    self = try unsafe bytes.withUnsafeBytes { bytes throws(MsgPackError) in
      let tape = try unsafe MsgPackTape(scan(bytes, limits))
      defer { withExtendedLifetime(tape) {} }
      return try unsafe MsgPackValue(tape.tokens, at: 0, bytes, usesOldRaw: usesOldRaw)
    }
  }

  /// Reads bytes that are exactly one value, as the initialiser from a span does.
  ///
  /// - Throws: ``MsgPackError``.
  public init(
    _ bytes: [UInt8], limits: MsgPackLimits = MsgPackLimits(), usesOldRaw: Bool = false
  ) throws(MsgPackError) {
    try self.init(bytes.span, limits: limits, usesOldRaw: usesOldRaw)
  }

  /// Returns the value's bytes, in the shortest form.
  ///
  /// - Parameters:
  ///   - limits: the deepest nesting that is permitted.
  ///   - usesOldRaw: whether binary data is written as strings, as in the format before 2013.
  /// - Throws: `EncodingError` if the value is nested deeper, or if a part is longer than the format can count.
  public func encoded(
    limits: MsgPackLimits = MsgPackLimits(), usesOldRaw: Bool = false
  ) throws -> [UInt8] {
    let sink = MsgPackSink(usesOldRaw: usesOldRaw)
    try sink.write(self, room: limits.depth)
    return sink.array
  }

  /// Reads a value that is not a container. Returns nil for a container.
  private static func scalar(
    _ token: swmp_token, _ bytes: UnsafeRawBufferPointer, _ usesOldRaw: Bool
  ) throws(MsgPackError) -> MsgPackValue? {
    switch token.what {
    case .null: .null
    case .false: .bool(false)
    case .true: .bool(true)
    case .int: .int(token.int)
    case .uint: .uint(token.value)
    case .float: .float(token.float)
    case .double: .double(token.double)
    case .string: try unsafe text(token, bytes, usesOldRaw)
    case .binary: .binary(unsafe Array(token.payload(in: bytes)))
    case .extension: .extension(type: token.type, unsafe Array(token.payload(in: bytes)))
    case .array, .map: nil
    }
  }

  private static func text(
    _ token: swmp_token, _ bytes: UnsafeRawBufferPointer, _ usesOldRaw: Bool
  ) throws(MsgPackError) -> MsgPackValue {
    if let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
      let text = unsafe decodedText(token, start)
    {
      return .string(text)
    }
    if usesOldRaw { return .binary(unsafe Array(token.payload(in: bytes))) }
    throw unsafe .notText(token, bytes)
  }

  /// Reads the value at a token, without recursion.
  ///
  /// The room for an array's elements is reserved, because the elements are on the tape.
  init(
    _ tokens: UnsafePointer<swmp_token>, at index: Int, _ bytes: UnsafeRawBufferPointer,
    usesOldRaw: Bool = false
  ) throws(MsgPackError) {
    struct Open {
      var isMap: Bool
      var count: Int
      var elements: [MsgPackValue] = []
      var pairs: [Pair] = []
      var key: MsgPackValue?

      init(_ token: swmp_token) {
        isMap = token.what == .map
        count = token.elementCount
        if isMap { pairs.reserveCapacity(count) } else { elements.reserveCapacity(count) }
      }

      var isFull: Bool { (isMap ? pairs.count : elements.count) == count }
      var value: MsgPackValue { isMap ? .map(pairs) : .array(elements) }

      mutating func append(_ value: MsgPackValue) {
        guard isMap else {
          elements.append(value)
          return
        }
        if let key {
          pairs.append(Pair(key, value))
          self.key = nil
        } else {
          key = value
        }
      }
    }

    var open: [Open] = []
    var index = index
    while true {
      let token = unsafe tokens[index]
      index += 1
      var done: MsgPackValue
      if let scalar = try unsafe Self.scalar(token, bytes, usesOldRaw) {
        done = scalar
      } else {
        open.append(Open(token))
        guard token.elementCount == 0 else { continue }
        done = open.removeLast().value
      }
      while true {
        guard !open.isEmpty else {
          self = done
          return
        }
        open[open.count - 1].append(done)
        guard open[open.count - 1].isFull else { break }
        done = open.removeLast().value
      }
    }
  }
}

extension swmp_token {
  /// The bytes of a string, of binary data or of an extension.
  func payload(in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    let start = Int(value)
    return unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<(start + Int(extent))])
  }
}

/// A string's text.
@inline(__always)
func decodedText(_ token: swmp_token, _ start: UnsafePointer<UInt8>) -> String? {
  let units = unsafe UnsafeBufferPointer(start: start + Int(token.value), count: Int(token.extent))
  // Most strings are short ASCII, which this test recognises faster than a validation of UTF-8.
  if unsafe swmp_is_ascii(start + Int(token.value), Int(token.extent)) {
    return unsafe String(copying: UTF8Span(unchecked: Span(_unsafeElements: units), isKnownASCII: true))
  }
  guard let text = try? unsafe UTF8Span(validating: Span(_unsafeElements: units)) else { return nil }
  return String(copying: text)
}

extension MsgPackError {
  /// The error for a string that is not UTF-8.
  static func notText(_ token: swmp_token, _ bytes: UnsafeRawBufferPointer) -> MsgPackError {
    unsafe MsgPackError(.notUTF8, offset: Int(token.value), in: bytes)
  }
}
