/// The key of a value that has none: the whole value, and the content of a single value container. A separate type costs
/// less than an optional key, whose metadata would be looked up for each value.
struct PickleNoKey: CodingKey {
  var stringValue: String { "" }
  var intValue: Int? { nil }

  init() {}
  init?(stringValue: String) { nil }
  init?(intValue: Int) { nil }
}

/// The position of an element as a key. Its text is made only when it is asked for.
struct PicklePosition: CodingKey {
  let position: Int
  var stringValue: String { "Index \(position)" }
  var intValue: Int? { position }

  init(_ position: Int) { self.position = position }
  init?(stringValue: String) { nil }
  init?(intValue: Int) { position = intValue }
}

/// A key in a coding path that no type of the user's has.
struct PickleKey: CodingKey {
  let stringValue: String
  let intValue: Int?

  init(_ text: String) {
    stringValue = text
    intValue = nil
  }
  init(_ index: Int) {
    stringValue = "Index \(index)"
    intValue = index
  }
  /// A key of a dict.
  init(_ key: PickleValue) {
    intValue = key.integer
    stringValue = key.text ?? "\(key)"
  }
  init?(stringValue: String) { self.init(stringValue) }
  init?(intValue: Int) { self.init(intValue) }
}
