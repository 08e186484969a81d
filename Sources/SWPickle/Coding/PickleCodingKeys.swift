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

/// A key in a coding path that no type of the user's has. The text of another key than a str is made only when it is asked
/// for, because it may be long, and few messages need it.
struct PickleKey: CodingKey {
  private enum Source {
    case text(String)
    case index(Int)
    case value(PickleValue)
  }

  private let source: Source

  var stringValue: String {
    switch source {
    case .text(let text): text
    case .index(let index): "Index \(index)"
    case .value(let value): value.text ?? "\(value)"
    }
  }

  var intValue: Int? {
    switch source {
    case .text: nil
    case .index(let index): index
    case .value(let value): value.integer
    }
  }

  init(_ text: String) { source = .text(text) }
  init(_ index: Int) { source = .index(index) }
  /// A key of a dict.
  init(_ key: PickleValue) { source = .value(key) }
  init?(stringValue: String) { self.init(stringValue) }
  init?(intValue: Int) { self.init(intValue) }
}
