// Errors that both families of coders report in the same words. Keys and numbers are often the peer's.

internal import SWFraming

extension EncodingError {
  /// A value asks for a second container of another kind.
  package static func twoKinds(_ value: Any, at path: [any CodingKey]) -> EncodingError {
    .invalidValue(
      value,
      .init(codingPath: path, debugDescription: "cannot encode both an array and a map at this position"))
  }

  /// A single-value container is given a second value, or a value besides a container.
  package static func twoValues(_ value: Any, at path: [any CodingKey]) -> EncodingError {
    .invalidValue(
      value, .init(codingPath: path, debugDescription: "cannot encode more than one value at this position"))
  }

  /// A container is used while a value in it is being encoded, or after its own value.
  package static func outOfTurn(at path: [any CodingKey]) -> EncodingError {
    .invalidValue(
      Any.self,
      .init(
        codingPath: path,
        debugDescription:
          "cannot encode into this container now: a value in it is being encoded, or its own value is complete"
      ))
  }

  /// Two entries of a map would have the same key.
  package static func sameKey(_ key: String, at path: [any CodingKey]) -> EncodingError {
    .invalidValue(
      key,
      .init(
        codingPath: path,
        debugDescription: "cannot encode two entries with the same key \(key.quoted())"))
  }

  /// The nesting of containers exceeds the limit.
  package static func tooDeep(_ value: Any, limit: Int, at path: [any CodingKey]) -> EncodingError {
    .invalidValue(
      value, .init(codingPath: path, debugDescription: "cannot encode: nesting deeper than \(limit) levels"))
  }

  /// The date strategy has no function for encoding.
  package static func noDateFunction(_ value: Any, at path: [any CodingKey]) -> EncodingError {
    .invalidValue(
      value, .init(codingPath: path, debugDescription: "the custom date strategy has no encoding function"))
  }
}

extension DecodingError {
  /// Two keys of a map become the same key of a dictionary or a type.
  package static func sameKey(
    _ first: String, _ second: String, at path: [any CodingKey]
  ) -> DecodingError {
    .dataCorrupted(.init(codingPath: path, debugDescription: sameKey(first, second)))
  }

  package static func sameKey(_ first: String, _ second: String) -> String {
    "cannot tell the keys \(first.shown(upTo: 100)) and \(second.shown(upTo: 100)) apart: they become the same key"
  }

  /// The explanation for a text that cannot become a key.
  package static var unfitKey: String {
    "cannot use a text with more than \(CombiningMarks.mostInKey) combining marks in a row as a key"
  }

  /// A text that becomes a key has too many combining marks in a row.
  package static func unfitKey(at path: [any CodingKey]) -> DecodingError {
    .dataCorrupted(.init(codingPath: path, debugDescription: unfitKey))
  }

  /// Another text that is compared has too many combining marks in a row.
  package static func unfitText(at path: [any CodingKey]) -> DecodingError {
    .dataCorrupted(
      .init(
        codingPath: path,
        debugDescription:
          "cannot compare a text with more than \(CombiningMarks.mostInValue) combining marks in a row"))
  }

  /// A nan becomes a key.
  package static func nanAsKey(at path: [any CodingKey]) -> DecodingError {
    .dataCorrupted(
      .init(codingPath: path, debugDescription: "cannot use nan as a key, because it is not equal to itself"))
  }

  /// A value that contains itself becomes a key.
  package static func endlessAsKey(at path: [any CodingKey]) -> DecodingError {
    .dataCorrupted(
      .init(codingPath: path, debugDescription: "cannot use a value as a key that contains itself"))
  }

  /// A number does not fit its type.
  package static func unfit(
    _ number: String, _ type: Any.Type, at path: [any CodingKey]
  ) -> DecodingError {
    .dataCorrupted(
      .init(
        codingPath: path, debugDescription: "cannot represent \(number.shown(upTo: 100)) exactly as \(type)"))
  }

  /// A finite number is beyond the largest of its type.
  package static func overflow(
    _ number: String, _ type: Any.Type, at path: [any CodingKey]
  ) -> DecodingError {
    .dataCorrupted(
      .init(codingPath: path, debugDescription: "\(number.shown(upTo: 100)) is too large for \(type)"))
  }

  /// The nesting of containers exceeds the limit.
  package static func tooDeep(limit: Int, at path: [any CodingKey]) -> DecodingError {
    .dataCorrupted(
      .init(codingPath: path, debugDescription: "nesting deeper than \(limit) levels"))
  }

  /// The date strategy has no function for decoding.
  package static func noDateFunction(at path: [any CodingKey]) -> DecodingError {
    .dataCorrupted(
      .init(codingPath: path, debugDescription: "the custom date strategy has no decoding function"))
  }
}
