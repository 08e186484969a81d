import Foundation

/// The invariant: swcat's reader of JSON takes what Foundation's takes, as the same value, and refuses what Foundation's
/// refuses, but for the differences below; a text without its blanks stays the same value; and a `JSONValue` that is read
/// from a text is written as a text of the same value, and is the same as a part of another type.
///
/// Built together with SWJSON and the JSON files of swcat into one module (`Fuzz/run`). A broken invariant traps, and libFuzzer writes
/// down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzJSONDocument(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  // Foundation takes other encodings, which it tells by a byte order mark or by zeros; swcat's lines are UTF-8.
  if bytes.contains(0) || bytes.starts(with: [0xef, 0xbb, 0xbf]) || bytes.first ?? 0 >= 0xfe { return 0 }
  let foundation = Result {
    try JSONSerialization.jsonObject(with: Data(bytes), options: [.fragmentsAllowed])
  }
  let document = Result { () throws(Misread) in try JSONDocument(bytes) }
  checkValue(bytes)
  switch (document, foundation) {
  case (.failure, .failure): break
  case (.success(let document), .success(let value)):
    precondition(isSame(document, document.root, value), "another value")
    checkCompact(bytes, document)
  case (.success(let document), .failure(let error)):
    precondition(document.isBeyondFoundation, "refused by Foundation alone: \(error)")
    checkCompact(bytes, document)
  case (.failure(let misread), .success):
    precondition(isTrailingComma(bytes, misread.offset), "refused by swcat alone: \(misread)")
  }
  return 0
}

/// A `JSONValue` is read or refused with a `DecodingError`, and is read again from the text that it is written as.
private func checkValue(_ bytes: [UInt8]) {
  var parser = JSONValueParser(bytes)
  let parsed = try? parser.parse()
  // Foundation's decoder takes time with the square of the depth.
  if bytes.count(where: { $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "{") }) > 30 { return }
  let value: JSONValue
  do {
    value = try JSONDecoder().decode(JSONValue.self, from: Data(bytes))
  } catch {
    precondition(error is DecodingError, "\(error)")
    // Foundation refuses numbers that no normal Double comes near.
    precondition(parsed == nil || bytes.contains { $0 | 0x20 == UInt8(ascii: "e") }, "parsed alone")
    return
  }
  precondition(parsed == value || parsed == nil && mayHaveTrailingComma(bytes), "parsed otherwise")
  checkPart(bytes, parsed)
  do {
    let again = try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(value))
    precondition(again == value, "another value")
  } catch {
    preconditionFailure("\(error)")
  }
}

private struct Whole: Codable, Sendable { var part: JSONValue }

/// A framing reads the value as a part of another type, too: by the kinds of the text, and not by attempts.
private func checkPart(_ bytes: [UInt8], _ value: JSONValue?) {
  for usesSnakeCase in [false, true] {
    let framing = LengthPrefixedFraming.lengthPrefixed(.uint32).json(Whole.self) { _, decoder in
      if usesSnakeCase { decoder.keyDecodingStrategy = .convertFromSnakeCase }
    }
    let payload = Array(#"{"part":"#.utf8) + bytes + Array("}".utf8)
    let length = (0..<4).map { UInt8(truncatingIfNeeded: payload.count >> (24 - 8 * $0)) }
    do {
      let whole = try framing.decode(filling: (length + payload).span)
      precondition(value == nil || whole.part == value, "another part")
    } catch {
      let isRefused = value == nil || usesSnakeCase && "\(error)".contains("become the same key")
      precondition(error is DecodingError && isRefused, "\(error)")
    }
  }
}

/// Whether a comma may stand before the end of a container.
private func mayHaveTrailingComma(_ bytes: [UInt8]) -> Bool {
  let tokens = bytes.filter { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }
  return zip(tokens, tokens.dropFirst()).contains { first, second in
    first == UInt8(ascii: ",") && (second == UInt8(ascii: "]") || second == UInt8(ascii: "}"))
  }
}

/// Foundation takes a comma after the last element, which RFC 8259 does not have.
private func isTrailingComma(_ bytes: [UInt8], _ offset: Int) -> Bool {
  guard offset < bytes.count, bytes[offset] == UInt8(ascii: "]") || bytes[offset] == UInt8(ascii: "}") else {
    return false
  }
  return bytes[..<offset].last { ![0x20, 0x09, 0x0a, 0x0d].contains($0) } == UInt8(ascii: ",")
}

/// The text without blanks between its tokens: on one line, and the same value.
private func checkCompact(_ bytes: [UInt8], _ document: JSONDocument) {
  var line: [UInt8] = []
  var again: [UInt8] = []
  do {
    try JSONScanner.writeCompact(bytes, to: &line)
    try JSONScanner.writeCompact(line, to: &again)
    let other = try JSONDocument(line)
    precondition(!line.contains(0x0a) && line == again && other.shown == document.shown, "another text")
  } catch {
    preconditionFailure("\(error)")
  }
}

private func isSame(_ document: JSONDocument, _ index: Int, _ value: Any) -> Bool {
  switch document.nodes[index] {
  case .null: return value is NSNull
  case .bool(let bool): return value as? Bool == bool
  case .integer(let spelling), .number(let spelling):
    guard let number = value as? NSNumber, let own = Double(spelling) else { return false }
    // Of integers beyond 64 bits Foundation does not make the nearest `Double`.
    return abs(number.doubleValue - own) <= 1e-12 * abs(own)
      || Int64(spelling) == number.int64Value || UInt64(spelling) == number.uint64Value
  case .string(let text):
    return (value as? String).map { Array($0.unicodeScalars) } == Array(text.unicodeScalars)
  case .array(let elements):
    guard let others = value as? [Any], others.count == elements.count else { return false }
    return zip(elements, others).allSatisfy { isSame(document, $0, $1) }
  case .object(let members):
    guard let others = value as? [String: Any] else { return false }
    // Of a name that stands twice Foundation keeps one value; names that look the same are one for it.
    guard Set(members.map(\.name)).count == members.count else { return true }
    return others.count == members.count
      && members.allSatisfy { member in
        others[member.name].map { isSame(document, member.value, $0) } ?? false
      }
  }
}

extension JSONDocument {
  /// Whether Foundation refuses it although it is JSON: it nests deeper than 512 levels, or has a number that no `Double`
  /// comes near.
  fileprivate var isBeyondFoundation: Bool {
    var depths = [Int](repeating: 0, count: nodes.count)
    for (index, node) in nodes.enumerated() {
      switch node {
      case .array(let elements): depths[index] = 1 + (elements.map { depths[$0] }.max() ?? 0)
      case .object(let members): depths[index] = 1 + (members.map { depths[$0.value] }.max() ?? 0)
      case .integer(let spelling), .number(let spelling):
        guard let number = Double(spelling), number.isFinite else { return true }
        if number.magnitude < .leastNormalMagnitude, spelling.contains(where: { "123456789".contains($0) }) {
          return true
        }
      default: break
      }
      if depths[index] > 512 { return true }
    }
    return false
  }

  /// All that it is made of.
  fileprivate var shown: [String] { nodes.map { "\($0)" } }
}
