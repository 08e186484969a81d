/// For a value that has no key: the whole, and what a single value container holds. A type of its own costs
/// less than an optional key, whose metadata would be looked up at each value.
struct NoKey: CodingKey {
  var stringValue: String { "" }
  var intValue: Int? { nil }

  init() {}
  init?(stringValue: String) { nil }
  init?(intValue: Int) { nil }
}

/// A decoding in an array, or the decoding of what a class decodes first.
struct PositionKey: CodingKey {
  var position: Int
  var stringValue: String { position < 0 ? "super" : "Index \(position)" }
  var intValue: Int? { position < 0 ? nil : position }

  init(_ position: Int) { self.position = position }
  init?(stringValue: String) { nil }
  init?(intValue: Int) { position = intValue }

  static var `super`: PositionKey { PositionKey(-1) }
}

/// A key made of text, or of a number.
struct TextKey: CodingKey {
  var stringValue: String
  var intValue: Int?

  init(stringValue: String) { self.stringValue = stringValue }
  init(intValue: Int) {
    stringValue = "\(intValue)"
    self.intValue = intValue
  }
}
