/// One value in the lossless form, of which `t` names the type: `{"t":"int","v":"7"}`.
struct TaggedFields {
  /// The document that it stands in.
  let document: JSONDocument
  private let members: [(name: String, value: Int)]
  /// Where it ends in the text; for complaints.
  let offset: Int
  let type: String

  init(_ index: Int, in document: JSONDocument) throws(Misread) {
    self.document = document
    offset = document.ends[index]
    guard case .object(let members) = document.nodes[index] else {
      throw Misread(at: document.ends[index], expected: #"a tagged value, {"t":TYPE,…}"#, found: "other JSON")
    }
    self.members = members
    guard let place = members.last(where: { $0.name == "t" })?.value,
      case .string(let type) = document.nodes[place]
    else { throw Misread(at: offset, expected: #"a tagged value, {"t":TYPE,…}"#, found: "no type") }
    self.type = type
  }

  /// The place of a field; nil: it has none.
  subscript(name: String) -> Int? { members.last { $0.name == name }?.value }

  func misread(_ expected: String, in name: String) -> Misread {
    Misread(
      at: self[name].map { document.ends[$0] } ?? offset,
      expected: "\(expected) as '\(name)' of type \(type)",
      found: self[name] == nil ? "none" : "something else")
  }

  func text(_ name: String = "v") throws(Misread) -> String {
    guard let place = self[name], case .string(let text) = document.nodes[place] else {
      throw misread("a string", in: name)
    }
    return text
  }

  func bool(_ name: String = "v") throws(Misread) -> Bool {
    guard let place = self[name], case .bool(let value) = document.nodes[place] else {
      throw misread("true or false", in: name)
    }
    return value
  }

  func integer(_ name: String) throws(Misread) -> Int {
    guard let place = self[name], case .integer(let spelling) = document.nodes[place],
      let value = Int(spelling)
    else { throw misread("an integer", in: name) }
    return value
  }

  func array(_ name: String = "v") throws(Misread) -> [Int] {
    guard let place = self[name], case .array(let elements) = document.nodes[place] else {
      throw misread("an array", in: name)
    }
    return elements
  }

  /// An array of pairs, each an array of two.
  func pairs(_ name: String = "v") throws(Misread) -> [(key: Int, value: Int)] {
    var pairs: [(key: Int, value: Int)] = []
    for place in try array(name) {
      guard case .array(let pair) = document.nodes[place], pair.count == 2 else {
        throw misread("pairs of key and value", in: name)
      }
      pairs.append((pair[0], pair[1]))
    }
    return pairs
  }

  /// A floating-point number by its bits.
  func bits(_ name: String) throws(Misread) -> Double {
    let digits = try text(name)
    guard digits.utf8.count == 16, let bits = UInt64(digits, radix: 16) else {
      throw misread("16 hexadecimal digits", in: name)
    }
    return Double(bitPattern: bits)
  }

  /// A floating-point number: by its bits, or as it is spelled.
  func float() throws(Misread) -> Double {
    if self["bits"] != nil { return try bits("bits") }
    guard let value = Double(try text()) else { throw misread("a number", in: "v") }
    return value
  }

  /// A text: as it is spelled, or by its bytes.
  func string() throws(Misread) -> String {
    if self["utf8"] == nil { return try text() }
    guard let text = String(validating: try wire("utf8"), as: UTF8.self) else {
      throw misread("UTF-8", in: "utf8")
    }
    return text
  }

  /// How many elements a short spelling stands for.
  func count(_ name: String) throws(Misread) -> Int {
    let count = try integer(name)
    guard 0...(Self.longestRepetition / 16) ~= count else {
      throw misread("at most \(Self.longestRepetition / 16) elements", in: name)
    }
    return count
  }

  /// The value of a short spelling, as many times as a field says.
  func repeated(_ name: String) throws(Misread) -> [Int] {
    guard let fill = self["fill"] else { throw misread("a value", in: "fill") }
    return Array(repeating: fill, count: try count(name))
  }

  /// Bytes: hexadecimal digits, or parts that repeat, `[["00ff",2],["7a",1000]]`. The latter are read and never
  /// written.
  func wire(_ name: String) throws(Misread) -> [UInt8] {
    guard let place = self[name] else { throw misread("bytes", in: name) }
    if case .string(let digits) = document.nodes[place] { return try hexadecimal(digits, name) }
    var bytes: [UInt8] = []
    for part in try pairs(name) {
      guard case .string(let digits) = document.nodes[part.key],
        case .integer(let spelling) = document.nodes[part.value], let count = Int(spelling), count >= 0
      else { throw misread("parts of hexadecimal digits and a count", in: name) }
      let repeated = try hexadecimal(digits, name)
      guard count <= Self.longestRepetition / max(repeated.count, 1) else {
        throw misread("parts of at most \(Self.longestRepetition) bytes", in: name)
      }
      for _ in 0..<count { bytes += repeated }
    }
    return bytes
  }

  /// The most bytes to which a short text may be written out.
  static var longestRepetition: Int { 1 << 28 }

  private func hexadecimal(_ digits: String, _ name: String) throws(Misread) -> [UInt8] {
    do throws(Misread) {
      return try Hexadecimal.read(Array(digits.utf8))
    } catch {
      throw misread("hexadecimal digits", in: name)
    }
  }
}

/// The part that the writers of the lossless form share.
enum Tagged {
  /// The big-endian bits of a floating-point number.
  static func bits(_ value: Double) -> String {
    Hexadecimal.text((0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> (56 - 8 * UInt64($0))) })
  }

  /// A floating-point number for people: the bits are what counts.
  static func shown(_ value: Double) -> String {
    value.isNaN ? "nan" : value.isInfinite ? (value < 0 ? "-inf" : "inf") : "\(value)"
  }
}
