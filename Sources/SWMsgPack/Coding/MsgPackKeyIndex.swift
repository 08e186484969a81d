internal import CMsgPack
internal import SWCoding

/// The positions of a map's values, by key.
final class MsgPackKeyIndex {
  /// A key as bytes, because texts that look alike may be different keys.
  private struct Name: Hashable {
    let text: String

    static func == (left: Name, right: Name) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    func hash(into hasher: inout Hasher) {
      var text = text
      text.withUTF8 { units in unsafe hasher.combine(bytes: UnsafeRawBufferPointer(units)) }
    }
  }

  /// The tokens of a key and of its value.
  private struct Entry {
    var key: Int
    var value: Int
  }

  private var strings: [Name: Entry] = [:]
  private var integers: [Int: Entry] = [:]
  /// Each key once, in the order of the map.
  private(set) var ordered: [TextKey] = []
  /// Whether there are keys that are neither text nor an `Int`.
  private(set) var hasUnreadable = false

  /// - Throws: `DecodingError` if two distinct keys become the same one. A key that is repeated exactly counts with
  ///   its last value.
  init(_ decoding: MsgPackDecoding, converts: Bool) throws {
    var index = Int(decoding.index) + 1
    while index < Int(decoding.own.extent) {
      let token = decoding.token(index)
      let value = token.next(after: index)
      if let name = decoding.name(token) {
        if !name.stringValue.isFitForKey { throw DecodingError.unfitKey(at: decoding.codingPath) }
        let converted = converts ? decoding.convert(name) : name
        let entry = Entry(key: index, value: value)
        let old: Entry?
        if let number = converted.intValue {
          old = integers.updateValue(entry, forKey: number)
        } else {
          old = strings.updateValue(entry, forKey: Name(text: converted.stringValue))
        }
        if let old {
          try decoding.checkSame(old.key, index)
        } else {
          ordered.append(converted)
        }
      } else {
        hasUnreadable = true
      }
      index = decoding.token(value).next(after: value)
    }
  }

  func find(_ key: some CodingKey) -> Int? {
    strings[Name(text: key.stringValue)]?.value ?? key.intValue.flatMap { integers[$0]?.value }
  }
}

extension MsgPackDecoding {
  fileprivate func convert(_ key: TextKey) -> TextKey {
    guard case .custom(let convert) = state.options.keyStrategy.kind else { return key }
    let converted = convert(codingPath + [key])
    if let number = converted.intValue { return TextKey(intValue: number) }
    return TextKey(stringValue: converted.stringValue)
  }

  /// Throws unless two keys that become the same one are identical in the message.
  func checkSame(_ first: Int, _ second: Int) throws {
    let (left, right) = (token(first), token(second))
    if left.what == right.what {
      switch left.what {
      case .string, .binary:
        if unsafe left.payload(in: state.bytes).elementsEqual(right.payload(in: state.bytes)) { return }
      default: if left.value == right.value { return }
      }
    }
    throw DecodingError.sameKey(shown(first), shown(second), at: codingPath)
  }

  /// A key, for error texts.
  private func shown(_ index: Int) -> String {
    unsafe (try? MsgPackValue(state.tokens, at: index, state.bytes))?.description ?? "that is not UTF-8"
  }

  /// Throws if two distinct keys of the map become the same key of a dictionary, which would lose an entry: 7 and "7", "7"
  /// and "007" with integer keys, two spellings of one character.
  ///
  /// Keys of one kind that differ in their bytes, as nearly always, need no further check.
  @inline(__always)
  func checkDictionaryKeys(at map: Int, _ kind: MsgPackTypeKind) throws {
    if unsafe !swmp_has_plain_keys(state.tokens, UInt32(map), state.start, kind == .integerDictionary) {
      try compareDictionaryKeys(at: map, kind)
    }
  }

  @inline(never)
  private func compareDictionaryKeys(at map: Int, _ kind: MsgPackTypeKind) throws {
    var texts: [String: Int] = [:]
    var integers: [Int: Int] = [:]
    var index = map + 1
    while index < Int(token(map).extent) {
      if let name = name(token(index)) {
        if !name.stringValue.isFitForKey { throw DecodingError.unfitKey(at: codingPath) }
        let old =
          kind == .integerDictionary
          ? (name.intValue ?? Int(name.stringValue)).flatMap { integers.updateValue(index, forKey: $0) }
          : texts.updateValue(index, forKey: name.stringValue)
        if let old { try checkSame(old, index) }
      }
      let value = token(index).next(after: index)
      index = token(value).next(after: value)
    }
  }
}
