/// The key of a value that has none: the whole value, and the content of a single value container. A separate type costs
/// less than an optional key, whose metadata would be looked up for each value.
struct NoKey: CodingKey {
  var stringValue: String { "" }
  var intValue: Int? { nil }

  init() {}
  init?(stringValue: String) { nil }
  init?(intValue: Int) { nil }
}

/// The position of an element, or of what a class decodes for its superclass.
struct PositionKey: CodingKey {
  var position: Int
  var stringValue: String { position < 0 ? "super" : "Index \(position)" }
  var intValue: Int? { position < 0 ? nil : position }

  init(_ position: Int) { self.position = position }
  init?(stringValue: String) { nil }
  init?(intValue: Int) { position = intValue }

  static var `super`: PositionKey { PositionKey(-1) }
}

/// A key that is text or a number.
struct TextKey: CodingKey {
  var stringValue: String
  var intValue: Int?

  init(stringValue: String) { self.stringValue = stringValue }
  init(intValue: Int) {
    stringValue = "\(intValue)"
    self.intValue = intValue
  }
}
