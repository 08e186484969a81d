internal import CMsgPack

#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

/// A value on the tape that is being decoded: the decoder of one type.
///
/// Two words, so that it needs no box as `any Decoder`.
struct Place {
  let state: DecodingState
  /// Of the value's token.
  let index: UInt32
  /// How much of the path is this value's.
  let depth: UInt32

  @inline(__always)
  func token(_ index: Int) -> swmp_token { unsafe state.tokens[index] }

  @inline(__always)
  var own: swmp_token { token(Int(index)) }

  // MARK: Errors

  func path(_ key: some CodingKey) -> [any CodingKey] { state.path(depth: depth, key) }

  @inline(never)
  func mismatch(_ type: Any.Type, at index: Int, key: some CodingKey) -> DecodingError {
    let found = token(index).what
    if found == .null {
      return .valueNotFound(
        type, .init(codingPath: path(key), debugDescription: "expected \(type), found nil"))
    }
    return .typeMismatch(
      type, .init(codingPath: path(key), debugDescription: "expected \(type), found \(found.title)"))
  }

  @inline(never)
  func unfit(_ type: Any.Type, at index: Int, key: some CodingKey) -> DecodingError {
    .dataCorrupted(
      .init(
        codingPath: path(key),
        debugDescription: "\(MsgPackValue(number: token(index))) is not exactly a \(type)"))
  }

  @inline(never)
  func corrupted(_ error: MsgPackError, key: some CodingKey) -> DecodingError {
    .dataCorrupted(.init(codingPath: path(key), debugDescription: error.description, underlyingError: error))
  }

  @inline(never)
  func corrupted(_ explanation: String, key: some CodingKey) -> DecodingError {
    .dataCorrupted(.init(codingPath: path(key), debugDescription: explanation))
  }

  // MARK: Plain values

  @inline(__always)
  func integer<I: FixedWidthInteger>(_ type: I.Type, at index: Int, key: some CodingKey) throws -> I {
    let token = token(index)
    let converted: I?
    switch token.what {
    case .int: converted = I(exactly: token.int)
    case .uint: converted = I(exactly: token.value)
    case .float: converted = I(exactly: token.float)
    case .double: converted = I(exactly: token.double)
    default: throw mismatch(type, at: index, key: key)
    }
    if let converted { return converted }
    throw unfit(type, at: index, key: key)
  }

  @inline(__always)
  func double(at index: Int, key: some CodingKey) throws -> Double {
    let token = token(index)
    let converted: Double?
    switch token.what {
    case .double: return token.double
    case .float: return Double(token.float)
    case .int: converted = Double(exactly: token.int)
    case .uint: converted = Double(exactly: token.value)
    default: throw mismatch(Double.self, at: index, key: key)
    }
    if let converted { return converted }
    throw unfit(Double.self, at: index, key: key)
  }

  func float(at index: Int, key: some CodingKey) throws -> Float {
    let token = token(index)
    let converted: Float?
    switch token.what {
    case .float: return token.float
    case .double: converted = token.double.isNaN ? .nan : Float(exactly: token.double)
    case .int: converted = Float(exactly: token.int)
    case .uint: converted = Float(exactly: token.value)
    default: throw mismatch(Float.self, at: index, key: key)
    }
    if let converted { return converted }
    throw unfit(Float.self, at: index, key: key)
  }

  @inline(__always)
  func bool(at index: Int, key: some CodingKey) throws -> Bool {
    switch token(index).what {
    case .true: true
    case .false: false
    default: throw mismatch(Bool.self, at: index, key: key)
    }
  }

  @inline(__always)
  func string(at index: Int, key: some CodingKey) throws -> String {
    let token = token(index)
    guard token.what == .string else { throw mismatch(String.self, at: index, key: key) }
    if let text = unsafe decodedText(token, state.start) { return text }
    throw corrupted(unsafe .notText(token, state.bytes), key: key)
  }

  func isNull(at index: Int) -> Bool { token(index).what == .null }

  // MARK: All types

  /// Decodes a value in or of this place.
  @inline(__always)
  func decode<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    // Each is a comparison of pointers, of which the compiler leaves out all but one where it knows the type.
    if type == String.self { return unsafe unsafeBitCast(try string(at: index, key: key), to: type) }
    if type == Int.self { return unsafe unsafeBitCast(try integer(Int.self, at: index, key: key), to: type) }
    if type == Double.self { return unsafe unsafeBitCast(try double(at: index, key: key), to: type) }
    if type == Bool.self { return unsafe unsafeBitCast(try bool(at: index, key: key), to: type) }
    if type == Float.self { return unsafe unsafeBitCast(try float(at: index, key: key), to: type) }
    if type == Int64.self {
      return unsafe unsafeBitCast(try integer(Int64.self, at: index, key: key), to: type)
    }
    if type == Int32.self {
      return unsafe unsafeBitCast(try integer(Int32.self, at: index, key: key), to: type)
    }
    if type == UInt8.self {
      return unsafe unsafeBitCast(try integer(UInt8.self, at: index, key: key), to: type)
    }
    if type == UInt64.self {
      return unsafe unsafeBitCast(try integer(UInt64.self, at: index, key: key), to: type)
    }
    if type == UInt.self {
      return unsafe unsafeBitCast(try integer(UInt.self, at: index, key: key), to: type)
    }
    if type == UInt32.self {
      return unsafe unsafeBitCast(try integer(UInt32.self, at: index, key: key), to: type)
    }
    if type == Int8.self {
      return unsafe unsafeBitCast(try integer(Int8.self, at: index, key: key), to: type)
    }
    if type == Int16.self {
      return unsafe unsafeBitCast(try integer(Int16.self, at: index, key: key), to: type)
    }
    if type == UInt16.self {
      return unsafe unsafeBitCast(try integer(UInt16.self, at: index, key: key), to: type)
    }
    return try other(type, at: index, key: key)
  }

  // In three parts, so that values in values take little of the stack.
  @inline(never)
  private func other<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    if state.isOrdinary(type) || !isSpecial(type) {
      state.setOrdinary(type)
      return try nested(type, at: index, key: key)
    }
    return try special(type, at: index, key: key)
  }

  private func isSpecial<T>(_ type: T.Type) -> Bool {
    type == [String].self || type == [Int].self || type == [Int64].self || type == [Double].self
      || type == [Float].self || type == [Int32].self || type == [UInt8].self || type == Date.self
      || type == Data.self || type == UUID.self || type == URL.self || type == MsgPackValue.self
      || type == MsgPackTimestamp.self
  }

  @inline(never)
  private func nested<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    try state.within(index: index, depth: depth, key: key) { place in
      try T(from: place)
    }
  }

  @inline(never)
  private func special<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    if type == [String].self { return unsafe unsafeBitCast(try strings(at: index, key: key), to: type) }
    if type == [Int].self || type == [Int64].self,
      let numbers = try unsafe numbers(Int64.self, at: index, swmp_read_int64)
    {
      return unsafe unsafeBitCast(numbers, to: type)
    }
    if type == [Double].self, let numbers = try unsafe numbers(Double.self, at: index, swmp_read_double) {
      return unsafe unsafeBitCast(numbers, to: type)
    }
    if type == [Float].self, let numbers = try unsafe numbers(Float.self, at: index, swmp_read_float) {
      return unsafe unsafeBitCast(numbers, to: type)
    }
    if type == [Int32].self, let numbers = try unsafe numbers(Int32.self, at: index, swmp_read_int32) {
      return unsafe unsafeBitCast(numbers, to: type)
    }
    if type == [UInt8].self, token(index).what == .binary {
      return unsafe unsafeBitCast(unsafe Array(token(index).payload(in: state.bytes)), to: type)
    }
    if type == Date.self { return unsafe unsafeBitCast(try date(at: index, key: key), to: type) }
    if type == Data.self {
      guard token(index).what == .binary else { throw mismatch(type, at: index, key: key) }
      return unsafe unsafeBitCast(unsafe Data(token(index).payload(in: state.bytes)), to: type)
    }
    if type == UUID.self {
      let text = try string(at: index, key: key)
      guard let uuid = UUID(uuidString: text) else { throw corrupted("no UUID: \(text)", key: key) }
      return unsafe unsafeBitCast(uuid, to: type)
    }
    if type == URL.self {
      let text = try string(at: index, key: key)
      guard let url = URL(string: text) else { throw corrupted("no URL: \(text)", key: key) }
      return unsafe unsafeBitCast(url, to: type)
    }
    if type == MsgPackValue.self {
      do throws(MsgPackError) {
        return unsafe unsafeBitCast(try MsgPackValue(state.tokens, at: index, state.bytes), to: type)
      } catch {
        throw corrupted(error, key: key)
      }
    }
    if type == MsgPackTimestamp.self {
      return unsafe unsafeBitCast(try timestamp(at: index, key: key), to: type)
    }
    // Not what was expected: each element says for itself what is wrong.
    return try nested(type, at: index, key: key)
  }

  /// All numbers of an array at once; `nil` if it is no array of such numbers only: then each is for itself,
  /// with its error.
  private func numbers<Number>(
    _ type: Number.Type, at index: Int,
    _ read: (UnsafePointer<swmp_token>, Int, UnsafeMutablePointer<Number>) -> Bool
  ) throws -> [Number]? {
    let token = token(index)
    // No element is a container, or the elements' tokens would be more.
    guard token.what == .array, Int(token.extent) - index - 1 == token.elementCount else { return nil }
    let count = token.elementCount
    if count == 0 { return [] }
    var isRead = false
    let numbers = unsafe [Number](unsafeUninitializedCapacity: count) { memory, filled in
      guard let start = memory.baseAddress else { return }
      isRead = unsafe read(state.tokens + index + 1, count, start)
      filled = isRead ? count : 0
    }
    return isRead ? numbers : nil
  }

  private func strings(at index: Int, key: some CodingKey) throws -> [String] {
    let token = token(index)
    guard token.what == .array else { throw mismatch([String].self, at: index, key: key) }
    var strings: [String] = []
    strings.reserveCapacity(token.elementCount)
    var element = index + 1
    while element < Int(token.extent) {
      if self.token(element).what == .string,
        let text = unsafe decodedText(self.token(element), state.start)
      {
        strings.append(text)
      } else {
        // The error's path has the array's key and the place in it.
        return try state.within(index: index, depth: depth, key: key) { place in
          try [String](from: place)
        }
      }
      element = self.token(element).next(after: element)
    }
    return strings
  }

  // MARK: Dates

  private func timestamp(at index: Int, key: some CodingKey) throws -> MsgPackTimestamp {
    let token = token(index)
    guard token.what == .extension, token.type == -1 else {
      throw mismatch(MsgPackTimestamp.self, at: index, key: key)
    }
    if let timestamp = unsafe MsgPackTimestamp(token.payload(in: state.bytes)) { return timestamp }
    throw corrupted(
      unsafe MsgPackError(.malformedTimestamp, offset: Int(token.value), in: state.bytes), key: key)
  }

  private func date(at index: Int, key: some CodingKey) throws -> Date {
    switch state.options.dateDecodingStrategy {
    case .timestamp:
      guard token(index).what == .extension else { throw mismatch(Date.self, at: index, key: key) }
      return Date(try timestamp(at: index, key: key))
    case .deferredToDate: return Date(timeIntervalSinceReferenceDate: try double(at: index, key: key))
    case .secondsSince1970: return Date(timeIntervalSince1970: try double(at: index, key: key))
    case .millisecondsSince1970: return Date(timeIntervalSince1970: try double(at: index, key: key) / 1000)
    case .iso8601:
      let text = try string(at: index, key: key)
      guard let date = try? Date.ISO8601FormatStyle().parse(text) else {
        throw corrupted("no date of ISO 8601: \(text)", key: key)
      }
      return date
    case .custom(let decode):
      return try state.within(index: index, depth: depth, key: key) { place in
        try decode(place)
      }
    }
  }
}

extension Date {
  init(_ timestamp: MsgPackTimestamp) {
    self.init(timeIntervalSince1970: Double(timestamp.seconds) + Double(timestamp.nanoseconds) / 1e9)
  }
}

extension MsgPackValue {
  /// A number's token as a value, for people.
  fileprivate init(number token: swmp_token) {
    self =
      switch token.what {
      case .uint: .uint(token.value)
      case .float: .float(token.float)
      case .double: .double(token.double)
      default: .int(token.int)
      }
  }
}
