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
/// there. The values still come from the decoder. If the decoder reads another text, for example one in a string of the
/// message, the kinds do not match, and the attempts are made after all.
///
/// Most messages have no such part, and should not pay for a task-local value. So a framing decodes without one until a part is
/// met for the first time, and then decodes that message again.
final class JSONMessage: Sendable {
  /// A framing's knowledge about the parts of its messages, in the `userInfo` of its decoder.
  final class Parts: Sendable {
    private static let key = CodingUserInfoKey(rawValue: "SWJSON.JSONMessage.Parts")

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
  }

  /// How the decoder converts the names of members.
  enum Names: Sendable { case unchanged, camelCase }

  /// The decoder refuses a number that is where it was expected.
  struct Refused: Error { var error: DecodingError }

  /// The part is not what was expected.
  struct OtherKind: Error {}

  @TaskLocal static var current: JSONMessage?

  private let text: Data
  private let parsed = Mutex<Result<JSONValue, JSONValueParser.Failure>?>(nil)

  init(_ text: Data) { self.text = text }

  /// Decodes a value of any kind. Returns nil if the decoder reads another text, or has no mark.
  ///
  /// - Throws: `DecodingError` for a text that the parser refuses. `JSONDecoder` also reads UTF-16, and commas before the
  ///   end of a container; to make the attempts for those would let a peer choose them.
  static func value(for decoder: any Decoder) throws -> JSONValue? {
    guard let parts = Parts.of(decoder) else { return nil }
    guard let current else {
      if parts.areMet { return nil }
      parts.areMet = true
      throw DecodingError.dataCorrupted(
        .init(codingPath: [], debugDescription: "the framing of this decoder has to decode the message again")
      )
    }
    let path = decoder.codingPath
    do {
      guard let expected = try current.root.get().part(at: path, parts.names) else { return nil }
      return try JSONValue(expected, from: decoder, parts.names)
    } catch let failure as JSONValueParser.Failure {
      throw DecodingError.dataCorrupted(.init(codingPath: path, debugDescription: failure.explanation))
    } catch let refused as Refused {
      throw refused.error
    } catch {
      return nil
    }
  }

  private var root: Result<JSONValue, JSONValueParser.Failure> {
    parsed.withLock { parsed in
      if let parsed { return parsed }
      var parser = JSONValueParser(Array(text), joinsNumbers: false)
      let result = Result { () throws(JSONValueParser.Failure) in try parser.parse() }
      parsed = result
      return result
    }
  }
}

extension JSONMessage.Names {
  fileprivate func converted(_ name: String) -> String { self == .camelCase ? name.inCamelCase : name }
}

extension JSONValue {
  fileprivate func part(at path: [any CodingKey], _ names: JSONMessage.Names) -> JSONValue? {
    var part = self
    for key in path {
      let found: JSONValue?
      switch part {
      case .array: found = key.intValue.flatMap { part[$0] }
      case .object(let members):
        let name = key.stringValue
        found =
          members[name]
          ?? (names == .unchanged ? nil : members.first { names.converted($0.key) == name }?.value)
      default: found = nil
      }
      guard let found else { return nil }
      part = found
    }
    return part
  }

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
    case .double:
      do {
        return JSONValue(joining: try single.decode(Double.self))
      } catch let error as DecodingError {
        // Foundation refuses numbers that no normal Double comes near, and so would each attempt.
        if case .dataCorrupted = error { throw JSONMessage.Refused(error: error) }
        throw error
      }
    case .null, .array, .object:
      guard single.decodeNil() else { throw JSONMessage.OtherKind() }
      return .null
    }
  }
}
