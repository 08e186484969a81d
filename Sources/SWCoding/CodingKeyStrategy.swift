/// How keys of types become keys of messages, and keys of messages those of types.
///
/// The encoders and decoders of this package take the same strategies. Keys of dictionaries, such as those of
/// `[String: Int]`, are data: no strategy changes them.
///
/// Two keys of a type that become the same key of a message are an `EncodingError`: no entry is dropped.
public struct CodingKeyStrategy: Sendable {
  package enum Kind: Sendable {
    case unchanged
    case snakeCase
    case custom(@Sendable (_ codingPath: [any CodingKey]) -> any CodingKey)
  }

  package let kind: Kind

  /// Keys stay what they are.
  public static var unchanged: CodingKeyStrategy { CodingKeyStrategy(kind: .unchanged) }

  /// `oneTwo` in a type is `one_two` in a message.
  ///
  /// A decoder looks up the message's key that the encoder would write: so `myURL` is found as `my_url`, and a key
  /// of a type that is in snake case already is found as it is.
  public static var snakeCase: CodingKeyStrategy { CodingKeyStrategy(kind: .snakeCase) }

  /// A function decides.
  ///
  /// - Parameter convert: takes the coding path, with the key to convert as its last element, and returns the
  ///   converted key. An encoder gives it the key of a type and writes the returned one; a decoder gives it a
  ///   key of a message and compares the returned one with the keys of the type. It is called by each
  ///   thread or task that encodes or decodes.
  public static func custom(
    _ convert: @escaping @Sendable (_ codingPath: [any CodingKey]) -> any CodingKey
  ) -> CodingKeyStrategy {
    CodingKeyStrategy(kind: .custom(convert))
  }

  package var isUnchanged: Bool {
    if case .unchanged = kind { true } else { false }
  }
}

extension String {
  /// `oneTwo` as `one_two`, `myURLKey` as `my_url_key`.
  package var inSnakeCase: String {
    var result = ""
    let characters = Array(self)
    for (index, character) in characters.enumerated() {
      if character.isUppercase, index > 0, characters[index - 1] != "_" {
        let followsLower = !characters[index - 1].isUppercase
        let precedesLower = index + 1 < characters.count && characters[index + 1].isLowercase
        if followsLower || precedesLower { result += "_" }
      }
      result += character.lowercased()
    }
    return result
  }

  /// `one_two` as `oneTwo`; underscores at either end stay. Text in another case stays as it is.
  package var inCamelCase: String {
    guard let first = firstIndex(where: { $0 != "_" }), let last = lastIndex(where: { $0 != "_" }) else {
      return self
    }
    let words = self[first...last].split(separator: "_")
    guard words.count > 1 else { return self }
    let joined =
      words[0].lowercased()
      + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst().lowercased() }.joined()
    return self[..<first] + joined + self[index(after: last)...]
  }
}
