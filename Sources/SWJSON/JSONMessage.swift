internal import SWCoding
private import Synchronization

#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

/// The message that a ``JSONFraming`` is decoding, for each ``JSONValue`` in it that is a part of another type.
///
/// `JSONDecoder` does not tell the kind of a value. To try one type after another takes long: each attempt that fails makes
/// an error with a coding path, and Foundation makes a path in time with the square of its depth. At a depth of 500 that
/// is 15 ms for each attempt. So the message's text is parsed once more, and each part is decoded as the kind that it has
/// there. The values still come from the decoder. If the two do not match, decoding fails: the attempts would let a peer
/// choose how long they take.
///
/// Most messages have no such part, and should not pay for a task-local value. So a framing decodes without one until a part is
/// met for the first time, and then decodes that message again.
final class JSONMessage: Sendable {
  /// A framing's knowledge about the parts of its messages, in the `userInfo` of its decoder.
  final class Parts: CodingAnyValueReader {
    private static let key = CodingAnyValue.readerKey

    let names: Names
    private let wereMet = Atomic(false)

    init(_ names: Names) { self.names = names }

    /// Whether a message of the framing has had a ``JSONValue`` as a part.
    var areMet: Bool {
      get { wereMet.load(ordering: .relaxed) }
      set { wereMet.store(newValue, ordering: .relaxed) }
    }

    /// Marks a framing's own decoder. Returns nil if its options ask for another reading than that of the parser.
    static func mark(_ decoder: JSONDecoder) -> Parts? {
      guard let key, case .throw = decoder.nonConformingFloatDecodingStrategy, !decoder.allowsJSON5,
        !decoder.assumesTopLevelDictionary
      else { return nil }
      let parts: Parts
      switch decoder.keyDecodingStrategy {
      case .useDefaultKeys: parts = Parts(.unchanged)
      case .convertFromSnakeCase: parts = Parts(.camelCase)
      default: return nil
      }
      decoder.userInfo[key] = parts
      return parts
    }

    static func of(_ decoder: any Decoder) -> Parts? { key.flatMap { decoder.userInfo[$0] as? Parts } }

    /// Reads a part for a type of another module.
    func anyValue(of decoder: any Decoder) throws -> CodingAnyValue? {
      try JSONMessage.value(for: decoder).map { CodingAnyValue($0) }
    }
  }

  /// How the decoder converts the names of members.
  enum Names: Sendable { case unchanged, camelCase }

  /// The decoder refuses a number that is where it was expected.
  struct Refused: Error { var error: DecodingError }

  /// The part is not what was expected.
  struct OtherKind: Error {}

  /// The message that the task is decoding. The framing of the message may be another one than that of a decoder: a type's
  /// `init(from:)` may decode with a framing of its own.
  @TaskLocal static var current: JSONMessage?

  private let text: Data
  private let parts: Parts
  private let parsed = Mutex<Result<JSONTree, JSONValueParser.Failure>?>(nil)
  /// The steps that Foundation may still take to make paths of parts.
  private let pathSteps: Mutex<Int>

  init(_ text: Data, of parts: Parts) {
    self.text = text
    self.parts = parts
    pathSteps = Mutex(1 << 22 + 16 * text.count)
  }

  /// The depth of a path that is short enough to cost no more than its part.
  private static let shallow = 16

  /// Charges for the path of a part, which Foundation makes in time with the square of its length. A peer may put many
  /// parts at a great depth, in a few bytes each.
  private func charge(for path: [any CodingKey]) throws {
    guard path.count > Self.shallow else { return }
    let isLeft = pathSteps.withLock { steps in
      steps -= path.count * path.count
      return steps >= 0
    }
    if isLeft { return }
    throw DecodingError.dataCorrupted(
      .init(
        codingPath: path, debugDescription: "too many parts of any kind at a depth of \(path.count) and more")
    )
  }

  /// Decodes a value of any kind. Returns nil if the decoder has no mark.
  ///
  /// - Throws: `DecodingError` for a text that the parser refuses. `JSONDecoder` also reads UTF-16, and commas before the
  ///   end of a container; to make the attempts for those would let a peer choose them. Also if the decoder reads
  ///   another text, as a decoder of a program's own type can that has the `userInfo` of the framing's decoder.
  static func value(for decoder: any Decoder) throws -> JSONValue? {
    guard let parts = Parts.of(decoder) else { return nil }
    guard let current, current.parts === parts else {
      parts.areMet = true
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: [],
          debugDescription: "only the framing whose userInfo this decoder has can decode a JSONValue with it")
      )
    }
    let path = decoder.codingPath
    try current.charge(for: path)
    do {
      guard let expected = try current.root.get().part(at: path) else {
        // A type may ask for a member that is missing, as that of a superclass. It is null.
        if try decoder.singleValueContainer().decodeNil() { return .null }
        throw OtherKind()
      }
      return try JSONValue(expected, from: decoder, parts.names)
    } catch let failure as JSONValueParser.Failure {
      throw DecodingError.dataCorrupted(.init(codingPath: path, debugDescription: failure.explanation))
    } catch let refused as Refused {
      throw refused.error
    } catch {
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: path,
          debugDescription:
            "the decoder reads another text than the message of the framing whose userInfo it has",
          underlyingError: error))
    }
  }

  private var root: Result<JSONTree, JSONValueParser.Failure> {
    parsed.withLock { parsed in
      if let parsed { return parsed }
      var parser = JSONValueParser(Array(text), joinsNumbers: false)
      let names = parts.names
      let result = Result { () throws(JSONValueParser.Failure) in JSONTree(try parser.parse(), names) }
      parsed = result
      return result
    }
  }
}

extension CodingAnyValue {
  fileprivate init(_ value: JSONValue) {
    switch value {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .int(let value): self = .int(value)
    case .uint(let value): self = .uint(value)
    case .double(let value): self = .double(value)
    case .string(let value): self = .string(value)
    case .array(let elements): self = .array(elements.map { CodingAnyValue($0) })
    case .object(let members): self = .object(members.mapValues { CodingAnyValue($0) })
    }
  }
}

extension JSONMessage.Names {
  fileprivate func converted(_ name: String) -> String {
    self == .camelCase ? name.asFoundationConverts : name
  }
}

extension String {
  /// A name as `JSONDecoder` converts it from snake case: `one_two` as `oneTwo`, `sha_256sum` as `sha256Sum`.
  var asFoundationConverts: String {
    guard let first = firstIndex(where: { $0 != "_" }), let last = lastIndex(where: { $0 != "_" }) else {
      return self
    }
    let words = self[first...last].split(separator: "_")
    guard words.count > 1 else { return self }
    return self[..<first] + words[0].lowercased() + words.dropFirst().map(\.capitalized).joined()
      + self[index(after: last)...]
  }
}

/// A parsed message in which a part is found by its path in a decoder, at the same cost for each name.
private enum JSONTree: Sendable {
  /// The names in a path are those of the text.
  case unchanged(JSONValue)
  /// The names in a path are converted ones, or those of the text: a dictionary has the latter.
  indirect case converted(JSONValue, elements: [JSONTree], members: [String: Member])

  enum Member: Sendable {
    case one(JSONTree)
    case several(String, String)
  }

  init(_ value: JSONValue, _ names: JSONMessage.Names) {
    guard names != .unchanged else {
      self = .unchanged(value)
      return
    }
    switch value {
    case .array(let elements):
      self = .converted(value, elements: elements.map { JSONTree($0, names) }, members: [:])
    case .object(let object):
      var members: [String: Member] = [:]
      var originals: [String: String] = [:]
      for (name, value) in object {
        let tree = JSONTree(value, names)
        let converted = names.converted(name)
        for key in converted == name ? [name] : [name, converted] {
          let other = originals.updateValue(name, forKey: key)
          members[key] = other.map { .several(min(name, $0), max(name, $0)) } ?? .one(tree)
        }
      }
      self = .converted(value, elements: [], members: members)
    default: self = .unchanged(value)
    }
  }

  /// - Throws: `JSONMessage.Refused` if two members have the name that is wanted. The decoder takes the first one for a
  ///   field of a type, and each for a dictionary.
  func part(at path: [any CodingKey]) throws(JSONMessage.Refused) -> JSONValue? {
    var part = self
    for (depth, key) in path.enumerated() {
      switch part {
      case .unchanged(.array(let elements)):
        guard let index = key.intValue, elements.indices.contains(index) else { return nil }
        part = .unchanged(elements[index])
      case .unchanged(.object(let members)):
        guard let member = members[key.stringValue] else { return nil }
        part = .unchanged(member)
      case .converted(.array, let elements, _):
        guard let index = key.intValue, elements.indices.contains(index) else { return nil }
        part = elements[index]
      case .converted(_, _, let members):
        switch members[key.stringValue] {
        case .one(let tree): part = tree
        case .several(let one, let other):
          throw JSONMessage.Refused(error: .sameKey(one, other, at: Array(path[..<depth])))
        case nil: return nil
        }
      default: return nil
      }
    }
    switch part {
    case .unchanged(let value), .converted(let value, _, _): return value
    }
  }
}

extension JSONValue {
  /// Decodes a value whose parts have these kinds, so that no attempt fails.
  fileprivate init(_ expected: JSONValue, from decoder: any Decoder, _ names: JSONMessage.Names) throws {
    switch expected {
    case .array(let expected):
      var array = try decoder.unkeyedContainer()
      guard array.count == expected.count else { throw JSONMessage.OtherKind() }
      self = .array(try expected.map { try JSONValue($0, from: array.superDecoder(), names) })
    case .object(let expected):
      self = .object(try Self.members(expected, from: decoder.container(keyedBy: Name.self), names))
    default:
      self = try Self.simple(expected, from: decoder.singleValueContainer())
    }
  }

  /// The names are those of the text: a ``JSONValue`` is data, whose names no strategy changes.
  private static func members(
    _ expected: [String: JSONValue], from container: KeyedDecodingContainer<Name>, _ names: JSONMessage.Names
  ) throws -> [String: JSONValue] {
    var converted: [String: String] = [:]
    for name in expected.keys {
      guard let other = converted.updateValue(name, forKey: names.converted(name)) else { continue }
      throw JSONMessage.Refused(error: .sameKey(min(name, other), max(name, other), at: container.codingPath))
    }
    guard container.allKeys.count == expected.count else { throw JSONMessage.OtherKind() }
    var members: [String: JSONValue] = [:]
    for (name, original) in converted {
      let key = Name(name)
      guard let part = expected[original], container.contains(key) else { throw JSONMessage.OtherKind() }
      members[original] = try JSONValue(part, from: container.superDecoder(forKey: key), names)
    }
    return members
  }

  private static func simple(
    _ expected: JSONValue, from single: any SingleValueDecodingContainer
  ) throws -> JSONValue {
    switch expected {
    case .bool: return .bool(try single.decode(Bool.self))
    case .int: return .int(try single.decode(Int64.self))
    case .uint: return .uint(try single.decode(UInt64.self))
    case .string: return .string(try single.decode(String.self))
    case .double(let number):
      do {
        return JSONValue(joining: try single.decode(Double.self))
      } catch let error as DecodingError {
        // Foundation refuses numbers that no normal Double comes near, and so would each attempt.
        if case .dataCorrupted = error { return try Self.refused(number, error) }
        throw error
      } catch {
        // So does it refuse those that are nearer to 0 than each Double, with an error of its own.
        return try Self.refused(
          number,
          .dataCorrupted(
            .init(
              codingPath: single.codingPath, debugDescription: "a number that JSONDecoder does not represent",
              underlyingError: error)))
      }
    case .null, .array, .object:
      guard single.decodeNil() else { throw JSONMessage.OtherKind() }
      return .null
    }
  }

  /// A number that Foundation refuses. It also refuses a 0 with an exponent, such as the `0E-10` of Java.
  private static func refused(_ number: Double, _ error: DecodingError) throws -> JSONValue {
    guard number == 0 else { throw JSONMessage.Refused(error: error) }
    return JSONValue(joining: number)
  }
}
