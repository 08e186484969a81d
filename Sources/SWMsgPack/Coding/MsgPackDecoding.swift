internal import CMsgPack
internal import SWCoding
internal import SWFraming

#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

/// The decoder of one value on the tape.
///
/// It has two words, so it needs no box as `any Decoder`.
struct MsgPackDecoding {
  let state: MsgPackDecodingState
  /// The index of the value's token.
  let index: UInt32
  /// The number of elements of the path that belong to this value.
  let depth: UInt32

  @inline(__always)
  func token(_ index: Int) -> swmp_token { unsafe state.tokens[index] }

  @inline(__always)
  var own: swmp_token { token(Int(index)) }

  // MARK: Errors

  func path(_ key: some CodingKey) -> [any CodingKey] { state.path(depth: depth, key) }

  @inline(never)
  func mismatch(
    _ type: Any.Type, at index: Int, key: some CodingKey, expected: String? = nil
  ) -> DecodingError {
    let token = token(index)
    let found = token.what == .extension ? "an extension of type \(token.type)" : token.what.title
    let context = DecodingError.Context(
      codingPath: path(key), debugDescription: "expected \(expected ?? "\(type)"), found \(found)")
    return token.what == .null ? .valueNotFound(type, context) : .typeMismatch(type, context)
  }

  @inline(never)
  func unfit(_ type: Any.Type, at index: Int, key: some CodingKey) -> DecodingError {
    .unfit(MsgPackValue(number: token(index)).description, type, at: path(key))
  }

  @inline(never)
  private func overflow(_ type: Any.Type, at index: Int, key: some CodingKey) -> DecodingError {
    .overflow(MsgPackValue(number: token(index)).description, type, at: path(key))
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
    case .double:
      if let nearest = CodingNumbers.nearestFloat(token.double) { return nearest }
      throw overflow(Float.self, at: index, key: key)
    case .int: converted = Float(exactly: token.int)
    case .uint: converted = Float(exactly: token.value)
    default: throw mismatch(Float.self, at: index, key: key)
    }
    if let converted { return converted }
    throw unfit(Float.self, at: index, key: key)
  }

  /// `Float16` would decode itself as a `Float`, and so round a double twice.
  private func half(at index: Int, key: some CodingKey) throws -> Float16 {
    let token = token(index)
    let converted: Float16?
    switch token.what {
    case .float, .double:
      let value = token.what == .float ? Double(token.float) : token.double
      if let nearest = CodingNumbers.nearest(value, as: Float16.self) { return nearest }
      throw overflow(Float16.self, at: index, key: key)
    case .int: converted = Float16(exactly: token.int)
    case .uint: converted = Float16(exactly: token.value)
    default: throw mismatch(Float16.self, at: index, key: key)
    }
    if let converted { return converted }
    throw unfit(Float16.self, at: index, key: key)
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

  /// Decodes a value in this decoding, or the value of this decoding.
  @inline(__always)
  func decode<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    // Each test compares pointers. If the compiler knows the type, it removes all tests but one.
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

  // The work is split into three functions, so nested values use little of the stack.
  @inline(never)
  private func other<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    if state.hasExtensions { return try otherOrExtension(type, at: index, key: key) }
    return try byKind(type, at: index, key: key)
  }

  // A separate function, because the runtime would look up an optional of an unknown type, in 300 instructions.
  @inline(never)
  private func otherOrExtension<T: Decodable>(
    _ type: T.Type, at index: Int, key: some CodingKey
  ) throws -> T {
    if let value = try readExtension(type, at: index, key: key) { return value }
    return try byKind(type, at: index, key: key)
  }

  @inline(__always)
  private func byKind<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    let kind = MsgPackTypeKind(of: type)
    switch kind {
    case .special: return try special(type, at: index, key: key)
    case .textDictionary, .integerDictionary, .otherDictionary:
      return try dictionary(type, kind, at: index, key: key)
    case .madeOfText, .set: return try compared(type, kind, at: index, key: key)
    case .unknown, .ordinary: return try nested(type, at: index, key: key)
    }
  }

  /// Decodes a value whose texts are compared: with the cases of a type, or with the other elements of a set.
  @inline(never)
  private func compared<T: Decodable>(
    _ type: T.Type, _ kind: MsgPackTypeKind, at index: Int, key: some CodingKey
  ) throws -> T {
    let token = token(index)
    if kind == .madeOfText {
      if token.what == .string { try checkCompared(at: index, CombiningMarks.mostInValue, key: key) }
    } else if token.what == .array, token.elementCount > 1 {
      try checkCompared(at: index, CombiningMarks.mostInValue, key: key)
    }
    return try nested(type, at: index, key: key)
  }

  /// Throws if a value with all its parts is slow to compare: if a text has too many combining marks in a row, or if a number is
  /// a nan. All nans have the same hash, and none is equal to another.
  private func checkCompared(at index: Int, _ limit: Int, key: some CodingKey) throws {
    for index in index..<token(index).next(after: index) {
      let token = token(index)
      switch token.what {
      case .string:
        if unsafe CombiningMarks.areTooMany(in: token.payload(in: state.bytes), limit: limit) {
          let path = path(key)
          throw limit == CombiningMarks.mostInKey
            ? DecodingError.unfitKey(at: path) : DecodingError.unfitText(at: path)
        }
      case .float: if token.float.isNaN { throw DecodingError.nanAsKey(at: path(key)) }
      case .double: if token.double.isNaN { throw DecodingError.nanAsKey(at: path(key)) }
      default: break
      }
    }
  }

  /// Does so for the keys of a dictionary, which are those of a map, or every other element of an array.
  private func checkComparedKeys(at container: Int, key: some CodingKey) throws {
    var key = (index: container + 1, path: key)
    while key.index < Int(token(container).extent) {
      try checkCompared(at: key.index, CombiningMarks.mostInKey, key: key.path)
      let value = token(key.index).next(after: key.index)
      // An array may have a key without a value.
      key.index = value < Int(token(container).extent) ? token(value).next(after: value) : value
    }
  }

  @inline(never)
  private func dictionary<T: Decodable>(
    _ type: T.Type, _ kind: MsgPackTypeKind, at index: Int, key: some CodingKey
  ) throws -> T {
    if kind == .otherDictionary, token(index).what == .map || token(index).what == .array {
      try checkComparedKeys(at: index, key: key)
    }
    guard token(index).what == .map else { return try nested(type, at: index, key: key) }
    return try state.within(index: index, depth: depth, key: key) { decoding in
      if kind != .otherDictionary {
        try decoding.checkDictionaryKeys(at: index, kind)
        return try T(from: decoding)
      }
      let pairs = MsgPackDecodingState(of: decoding.state, prefix: nil, readsPairs: true)
      let value = try T(from: MsgPackDecoding(state: pairs, index: decoding.index, depth: decoding.depth))
      // Two keys of the message may be equal in Swift.
      if let count = (value as? any Collection)?.count, count < token(index).elementCount {
        try decoding.checkRepeats(at: index, count)
      }
      return value
    }
  }

  /// Throws unless the dictionary has all distinct keys of the map.
  private func checkRepeats(at map: Int, _ count: Int) throws {
    // Their bytes, because 0.0 and -0.0 are two keys of the message and one of Swift's.
    var keys: Set<[UInt8]> = []
    var index = map + 1
    while index < Int(token(map).extent) {
      if let key = unsafe try? MsgPackValue(state.tokens, at: index, state.bytes, usesOldRaw: true).encoded()
      {
        keys.insert(key)
      }
      let value = token(index).next(after: index)
      index = token(value).next(after: value)
    }
    if keys.count > count {
      throw corrupted("cannot tell \(keys.count) keys apart: the dictionary has \(count)", key: NoKey())
    }
  }

  @inline(never)
  private func readExtension<T: Decodable>(
    _ type: T.Type, at index: Int, key: some CodingKey
  ) throws -> T? {
    guard let entry = state.options.extensions.entry(for: type) else { return nil }
    let token = token(index)
    guard token.what == .extension, token.type == entry.type else {
      throw mismatch(type, at: index, key: key, expected: "\(type), an extension of type \(entry.type)")
    }
    do {
      let value = try entry.decode(unsafe Array(token.payload(in: state.bytes)))
      if let value = value as? T { return value }
      preconditionFailure("the registered function returns the registered type")
    } catch {
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: path(key),
          debugDescription: "cannot read an extension of type \(entry.type) as \(type)",
          underlyingError: error))
    }
  }

  @inline(never)
  private func nested<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    try state.within(index: index, depth: depth, key: key) { decoding in
      try T(from: decoding)
    }
  }

  /// An integer of 128 bits.
  @inline(never)
  func wide<I: FixedWidthInteger>(_ type: I.Type, at index: Int, key: some CodingKey) throws -> I {
    try integer(type, at: index, key: key)
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
    // Old peers, and new peers that talk to old ones, send bytes as a string.
    if type == [UInt8].self, token(index).what == .binary || token(index).what == .string {
      return unsafe unsafeBitCast(unsafe Array(token(index).payload(in: state.bytes)), to: type)
    }
    if type == Date.self { return unsafe unsafeBitCast(try date(at: index, key: key), to: type) }
    if type == Data.self {
      guard token(index).what == .binary || token(index).what == .string else {
        throw mismatch(type, at: index, key: key)
      }
      return unsafe unsafeBitCast(unsafe Data(token(index).payload(in: state.bytes)), to: type)
    }
    if type == UUID.self { return unsafe unsafeBitCast(try uuid(at: index, key: key), to: type) }
    if type == Decimal.self { return unsafe unsafeBitCast(try decimal(at: index, key: key), to: type) }
    if type == URL.self {
      let text = try string(at: index, key: key)
      guard let url = URL(string: text) else {
        throw corrupted("expected a URL; found \(text.quoted())", key: key)
      }
      return unsafe unsafeBitCast(url, to: type)
    }
    if type == MsgPackValue.self {
      do throws(MsgPackError) {
        return unsafe unsafeBitCast(
          try MsgPackValue(state.tokens, at: index, state.bytes, usesOldRaw: state.options.usesOldRaw),
          to: type)
      } catch {
        throw corrupted(error, key: key)
      }
    }
    if type == MsgPackTimestamp.self {
      return unsafe unsafeBitCast(try timestamp(at: index, key: key), to: type)
    }
    if type == Float16.self { return unsafe unsafeBitCast(try half(at: index, key: key), to: type) }
    // The value is not what was expected, so the decoder of each element reports what is wrong.
    return try nested(type, at: index, key: key)
  }

  /// Decodes all numbers of an array at once. Returns nil if it contains anything else. Then each element is decoded by
  /// itself, with its own error.
  private func numbers<Number>(
    _ type: Number.Type, at index: Int,
    _ read: (UnsafePointer<swmp_token>, Int, UnsafeMutablePointer<Number>) -> Bool
  ) throws -> [Number]? {
    let token = token(index)
    // If there are fewer tokens than this, no element is a container.
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
    // Array's initialiser with a closure looks up the array's type: 350 instructions more.
    var strings: [String] = []
    strings.reserveCapacity(token.elementCount)
    var element = index + 1
    while element < Int(token.extent) {
      if self.token(element).what == .string,
        let text = unsafe decodedText(self.token(element), state.start)
      {
        strings.append(text)
      } else {
        // The path of the error contains the array's key, and the error is thrown inside its decoding.
        return try state.within(index: index, depth: depth, key: key) { decoding in
          try [String](from: decoding)
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

  private func finiteDate(
    at index: Int, key: some CodingKey, _ secondsSince2001: (Double) -> Double
  ) throws -> Date {
    let number = try double(at: index, key: key)
    if let date = Date(finiteSinceReferenceDate: secondsSince2001(number)) { return date }
    throw unfit(Date.self, at: index, key: key)
  }

  private func date(at index: Int, key: some CodingKey) throws -> Date {
    switch state.options.dateStrategy.kind {
    case .native:
      guard token(index).what == .extension else {
        throw mismatch(
          Date.self, at: index, key: key,
          expected: "Date, a timestamp extension (other forms take a dateStrategy, such as .secondsSince1970)"
        )
      }
      let timestamp = try timestamp(at: index, key: key)
      return CodingInstant(seconds: timestamp.seconds, nanoseconds: timestamp.nanoseconds).date
    case .deferredToDate: return try finiteDate(at: index, key: key) { $0 }
    case .secondsSince1970: return try finiteDate(at: index, key: key) { $0 - 978_307_200 }
    case .millisecondsSince1970: return try finiteDate(at: index, key: key) { $0 / 1000 - 978_307_200 }
    case .iso8601:
      let text = try string(at: index, key: key)
      guard let instant = CodingInstant(iso8601: text) else {
        throw corrupted("expected a date of ISO 8601; found \(text.quoted())", key: key)
      }
      return instant.date
    case .custom(_, let decode):
      guard let decode else { throw DecodingError.noDateFunction(at: path(key)) }
      return try state.within(index: index, depth: depth, key: key) { decoding in
        try decode(decoding)
      }
    }
  }

  // MARK: Types of Foundation

  private func uuid(at index: Int, key: some CodingKey) throws -> UUID {
    if token(index).what == .binary,
      let uuid = unsafe UUID(bytes: Array(token(index).payload(in: state.bytes)))
    {
      return uuid
    }
    let text = try string(at: index, key: key)
    if let uuid = UUID(text: text) { return uuid }
    throw corrupted("expected a UUID; found \(text.quoted())", key: key)
  }

  private func decimal(at index: Int, key: some CodingKey) throws -> Decimal {
    let token = token(index)
    let decimal: Decimal?
    switch token.what {
    case .int: decimal = Decimal(exactInteger: token.int)
    case .uint: decimal = Decimal(exactInteger: token.value)
    case .float: decimal = Decimal(shortest: token.float)
    case .double: decimal = Decimal(shortest: token.double)
    case .string:
      let text = try string(at: index, key: key)
      decimal = Decimal(exactText: text)
      if decimal == nil { throw DecodingError.unfit(text.quoted(), Decimal.self, at: path(key)) }
    default: throw mismatch(Decimal.self, at: index, key: key)
    }
    if let decimal { return decimal }
    throw unfit(Decimal.self, at: index, key: key)
  }
}

extension MsgPackValue {
  /// A number's token as a value, for error texts.
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
