/// How the keys of a type correspond to the keys of a message.
///
/// All encoders and decoders of this package take the same strategies. The keys of dictionaries, such as those of a
/// `[String: Int]`, are data, and no strategy changes them.
///
/// If two keys of a type become the same key of a message, encoding throws an `EncodingError`. No entry is dropped.
public struct CodingKeyStrategy: Sendable {
  package enum Kind: Sendable {
    case unchanged
    case snakeCase
    case custom(@Sendable (_ codingPath: [any CodingKey]) -> any CodingKey)
  }

  package let kind: Kind

  /// The keys of the message are those of the type.
  public static var unchanged: CodingKeyStrategy { CodingKeyStrategy(kind: .unchanged) }

  /// The key `oneTwo` of a type is `one_two` in a message.
  ///
  /// A decoder looks up the key that the encoder writes. `myURL` is therefore found as `my_url`, and a key of a
  /// type that is already in snake case is found unchanged.
  public static var snakeCase: CodingKeyStrategy { CodingKeyStrategy(kind: .snakeCase) }

  /// Your own function converts the keys.
  ///
  /// - Parameter convert: takes the coding path, whose last element is the key to convert, and returns the
  ///   converted key. An encoder passes the key of a type, and writes the returned key. A decoder passes a key of a
  ///   message, and compares the returned key with the keys of the type; two keys of a message that become one are a
  ///   `DecodingError`. It is called on every thread and task that encodes or decodes.
  public static func custom(
    _ convert: @escaping @Sendable (_ codingPath: [any CodingKey]) -> any CodingKey
  ) -> CodingKeyStrategy {
    CodingKeyStrategy(kind: .custom(convert))
  }

  package var isUnchanged: Bool {
    if case .unchanged = kind { true } else { false }
  }
}

extension CodingKey {
  /// The key that ``CodingKeyStrategy/snakeCase`` writes under a name. Returns nil if the type has none.
  ///
  /// A name does not say which words were acronyms: `open_url` is `openUrl` or `openURL`. So several spellings are tried.
  ///
  /// - Parameter count: how many keys the map has. If it has one, as that of an enumeration with payloads, any words may be
  ///   acronyms; otherwise one of them.
  package init?(inSnakeCase name: String, of count: Int) {
    if let key = Self(stringValue: name.inCamelCase), key.stringValue.inSnakeCase == name {
      self = key
      return
    }
    if let key = Self(stringValue: name) {
      self = key
      return
    }
    for spelling in name.spellingsWithAcronyms(severalAcronyms: count == 1) {
      if let key = Self(stringValue: spelling), key.stringValue.inSnakeCase == name {
        self = key
        return
      }
    }
    return nil
  }
}

extension String {
  /// `one_two_url` as `OneTwoUrl`, `ONETwoUrl`, `oneTWOUrl`, `oneTwoURL`, …
  fileprivate func spellingsWithAcronyms(severalAcronyms: Bool) -> [String] {
    guard let first = firstIndex(where: { $0 != "_" }), let last = lastIndex(where: { $0 != "_" }) else {
      return []
    }
    // A name of a program has few words. A peer's may have many.
    let words = self[first...last].split(separator: "_").prefix(13)
    guard words.count <= 12 else { return [] }
    let choices =
      severalAcronyms && words.count <= 6 ? Array(1..<1 << words.count) : words.indices.map { 1 << $0 }
    func spelling(_ word: (offset: Int, element: Substring), _ acronyms: Int) -> String {
      if acronyms & 1 << word.offset != 0 { return word.element.uppercased() }
      if word.offset == 0, acronyms != 0 { return word.element.lowercased() }
      return word.element.prefix(1).uppercased() + word.element.dropFirst().lowercased()
    }
    return ([0] + choices).map { acronyms in
      self[..<first] + words.enumerated().map { spelling($0, acronyms) }.joined()
        + self[index(after: last)...]
    }
  }

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

  /// `one_two` as `oneTwo`. Underscores at either end stay, and text in another form is unchanged.
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
