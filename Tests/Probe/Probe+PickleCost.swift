import Foundation
import SWMessaging
import SWPickle

/// The cost of pickles that refer to their parts again and again.
extension Probe {
  /// Reads, decodes or writes a hostile pickle of about this many bytes. Says what came of it, by how much the resident set
  /// has grown at its peak, in percent of the bytes, and how many steps of processor time it took.
  static func pickleCost(_ name: String, _ byteCount: Int) throws {
    // Memory of the code itself, and memory that allocators keep.
    _ = outcome(of: pickleBomb(name, 2000), name)
    let bytes = pickleBomb(name, byteCount)
    let before = resetPeakKilobytes()
    let start = processorNanoseconds()
    let outcome = outcome(of: bytes, name)
    print("nanoseconds=\(processorNanoseconds() - start)")
    print("percent=\((peakKilobytes() - before) * 1024 * 100 / bytes.count)")
    print("bytes=\(bytes.count)")
    print("outcome=\(outcome)")
  }

  /// Does the same work, twice, and measures nothing. Shared parts are decoded again only within the multiple of the
  /// pickle's bytes, without the constant that ``PickleLimits/repeatedParts`` adds, which would hide the rest.
  static func pickleWork(_ name: String, _ byteCount: Int) {
    _ = outcome(of: pickleBomb(name, 2000), name, repeatedParts: 0)
    print("outcome=\(outcome(of: pickleBomb(name, byteCount), name, repeatedParts: 0))")
  }

  private static func processorNanoseconds() -> Int {
    var time = timespec()
    guard unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 else { return 0 }
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }

  static let pickleBombs = [
    "bytes-of-list", "bytes-of-bytes", "bytearray-append", "bytearray-setitem", "encode", "set-of-list",
    "dict-of-pairs",
    "uuid-state", "long-keys", "decimal", "bytes-as-keys", "shared-arguments", "shared-dict", "shared-lists",
    "ranges",
    "array-scalars", "transposed", "dtype-fields", "empty-lists", "marks", "tuples-twice", "surrogates",
    "names", "growing-lists", "shared-table", "shared-list", "same-keys",
    "shared-text", "shared-bytes", "shared-data", "data-as-numbers", "shared-numbers", "shared-decimal",
    "shared-url",
    "shared-key",
    "shared-object", "object-append", "object-items",
    "long-class", "long-class-as-key", "long-class-states", "long-class-attributes", "long-zone",
    "shared-integer", "shared-integer-arguments", "shared-digits-as-key", "shared-fraction",
    "combining-marks", "nested-enums", "overlapping-fields", "frozensets-as-keys",
  ]

  /// Each shape asks for more with each of its bytes than the one before it: the whole would be quadratic, or worse.
  private static func pickleBomb(_ name: String, _ byteCount: Int) -> [UInt8] {
    let half = byteCount / 2
    func dictItem(_ key: Int) -> [UInt8] { [0x4a] + little(key) + [0x4e] }
    func text(_ text: String) -> [UInt8] { [0x58] + little(text.utf8.count) + Array(text.utf8) }
    func little(_ count: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } }
    func filled(_ start: [UInt8], _ unit: [UInt8], _ end: [UInt8] = [0x4e, 0x2e]) -> [UInt8] {
      start + Array(repeatElement(unit, count: max(1, (byteCount - start.count) / unit.count)).joined()) + end
    }
    func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) + [0x94] }
    /// Memo 0 is the function, memo 1 its tuple of arguments.
    func called(_ module: String, _ name: String, with argument: [UInt8], _ rest: [UInt8] = [0x30]) -> [UInt8]
    {
      filled(
        [0x80, 4] + global(module, name) + argument + [0x85, 0x94, 0x30], [0x68, 0, 0x68, 1, 0x52] + rest)
    }
    let bytes: [UInt8] = [0x42] + little(half) + [UInt8](repeating: 1, count: half)
    let list: [UInt8] = [0x28, 0x4b, 1] + [UInt8](repeating: 0x32, count: half) + [0x6c]
    switch name {
    case "bytes-of-list": return called("builtins", "bytes", with: list)
    case "bytes-of-bytes": return called("builtins", "bytes", with: bytes)
    case "bytearray-append": return called("builtins", "bytearray", with: bytes, [0x4b, 1, 0x61, 0x30])
    case "bytearray-setitem":
      return called("builtins", "bytearray", with: bytes, [0x4b, 0, 0x4b, 1, 0x73, 0x30])
    case "encode": return called("_codecs", "encode", with: text(String(repeating: "a", count: half)))
    case "set-of-list": return called("builtins", "set", with: list)
    case "dict-of-pairs":
      let pairs: [UInt8] =
        [0x28] + Array(repeatElement([0x4b, 1, 0x4b, 2, 0x86] as [UInt8], count: half / 5).joined()) + [0x6c]
      return called("collections", "OrderedDict", with: pairs)
    case "uuid-state":
      let keys = Array((0..<(half / 6)).map(dictItem).joined())
      let state: [UInt8] = [0x28] + keys + text("int") + [0x4b, 1, 0x64, 0x94, 0x30]
      return filled(
        [0x80, 4] + global("uuid", "UUID") + [0x30] + state, [0x68, 0, 0x29, 0x81, 0x68, 1, 0x62, 0x30])
    case "long-keys":
      let key = text(String(repeating: "k", count: half / 2))
      return filled(
        [0x80, 4] + key + [0x94] + key + [0x94, 0x30, 0x30],
        [0x7d, 0x68, 0, 0x4e, 0x73, 0x68, 1, 0x4e, 0x73, 0x30])
    case "decimal": return called("decimal", "Decimal", with: text(String(repeating: "1", count: half)))
    case "bytes-as-keys": return called("builtins", "bytes", with: bytes, [0x7d, 0x32, 0x30, 0x30])
    case "shared-arguments":
      let tuple = [0x28] + [UInt8](repeating: 0x4e, count: half) + [0x74, 0x94, 0x30]
      return filled([0x80, 4] + global("m", "C") + tuple, [0x68, 0, 0x68, 1, 0x52, 0x30])
    case "shared-dict":
      let items = Array((0..<(half / 6)).map(dictItem).joined())
      let start: [UInt8] = [0x80, 4, 0x5d, 0x28, 0x28] + items + [0x64, 0x94]
      return filled(start, [0x68, 0], [0x65, 0x2e])
    case "shared-lists":
      // [[…], […]] of two times the same, again and again.
      return filled([0x80, 4, 0x5d, 0x94], [0x32, 0x86], [0x2e])
    case "ranges":
      return [0x80, 4] + global("builtins", "range") + [0x4b, 0, 0x8a, 7] + [UInt8](repeating: 0x7f, count: 7)
        + [0x4b, 1, 0x87, 0x52, 0x2e]
    case "array-scalars":
      let code = "V" + String(repeating: "0", count: 7 - "\(half)".count) + "\(half)"
      let type: [UInt8] =
        global("numpy", "dtype") + [0x8c, 8] + Array(code.utf8) + [0x89, 0x88, 0x87, 0x52, 0x94, 0x30]
      let scalar: [UInt8] = global("numpy._core.multiarray", "scalar") + [0x30]
      return filled(
        [0x80, 4] + type + scalar + bytes + [0x94, 0x30],
        [0x68, 2, 0x68, 1, 0x68, 3, 0x86, 0x52, 0x30])
    case "transposed":
      let type = global("numpy", "dtype") + [0x8c, 2] + Array("u1".utf8) + [0x89, 0x88, 0x87, 0x52, 0x94]
      let shape: [UInt8] = [0x28, 0x4b, 1, 0x4a] + little(half) + [0x74]
      let arguments: [UInt8] =
        [0x28] + bytes + type + shape + [0x8c, 1, 0x4b, 0x4b, 1, 0x4b, 0, 0x86, 0x74, 0x94, 0x30]
      return filled(
        [0x80, 4] + arguments + global("numpy._core.numeric", "_frombuffer"), [0x68, 3, 0x68, 2, 0x52, 0x30])
    case "dtype-fields":
      let type = [0x8c, 2] + Array("V0".utf8) + [0x89, 0x88, 0x87, 0x52]
      let texts = Array((0..<min(1000, half / 8)).map { text("\($0)") }.joined())
      let names: [UInt8] = [0x28] + texts + [0x74, 0x94]
      let state: [UInt8] =
        [0x28, 0x4b, 3, 0x8c, 1, 0x7c, 0x4e] + names + [0x7d, 0x4b, 0, 0x4b, 1, 0x4b, 16, 0x74, 0x94, 0x30]
      return filled(
        [0x80, 4] + global("numpy", "dtype") + [0x30] + state, [0x68, 0] + type + [0x68, 2, 0x62, 0x30])
    case "empty-lists": return filled([0x80, 4], [0x5d], [0x2e])
    case "marks": return filled([0x80, 4], [0x28])
    case "tuples-twice": return filled([0x80, 4, 0x8f, 0x94, 0x28, 0x29], [0x32, 0x86], [0x90, 0x2e])
    case "surrogates":
      let text = Array(repeatElement([0xed, 0xb3, 0xa9] as [UInt8], count: half / 3).joined())
      return filled([0x80, 4, 0x58] + little(text.count) + text, [0x8c, 3, 0xed, 0xb3, 0xa9])
    case "names": return filled([0x80, 2], Array("ca\nb\n)R".utf8))
    // Of plain values, which the decoder reads by itself.
    case "growing-lists":
      // Two lists that grow in turn, so that neither has room behind it.
      return filled(
        [0x80, 4, 0x5d, 0x94, 0x5d, 0x94], [0x68, 0, 0x4b, 1, 0x61, 0x68, 1, 0x4b, 1, 0x61], [0x2e])
    case "shared-table":
      let items = Array((0..<(half / 12)).map { text("\($0)") + [0x4b, 1] }.joined())
      return filled([0x80, 4, 0x5d, 0x28, 0x7d, 0x94, 0x28] + items + [0x75], [0x68, 0], [0x65, 0x2e])
    case "shared-list":
      let list = [0x5d, 0x94, 0x28] + [UInt8](repeating: 0x4e, count: half) + [0x65]
      return filled([0x80, 4, 0x5d, 0x28] + list, [0x68, 0], [0x65, 0x2e])
    case "same-keys":
      // Small dicts of two long keys that differ at the end, in one order and in the other.
      let key = text(String(repeating: "k", count: half / 2)) + [0x94, 0x4e]
      let other = text(String(repeating: "k", count: max(0, half / 2 - 1)) + "l") + [0x94, 0x4e]
      return filled(
        [0x80, 4, 0x5d, 0x94, 0x28, 0x7d, 0x94, 0x28] + key + other + [0x75],
        [0x7d, 0x28, 0x68, 2, 0x4b, 1, 0x68, 3, 0x4b, 1, 0x75]
          + [0x7d, 0x28, 0x68, 3, 0x4b, 1, 0x68, 2, 0x4b, 1, 0x75], [0x65, 0x2e])
    case "shared-text", "shared-url":
      // One long str, again and again.
      let long = text(String(repeating: "u", count: half)) + [0x94]
      return filled([0x80, 4, 0x5d, 0x28] + long, [0x68, 0], [0x65, 0x2e])
    case "shared-decimal":
      let long = text("1" + String(repeating: "0", count: half)) + [0x94]
      return filled([0x80, 4, 0x5d, 0x28] + long, [0x68, 0], [0x65, 0x2e])
    case "shared-key":
      let long = text(String(repeating: "u", count: half)) + [0x94]
      return filled(
        [0x80, 4, 0x5d, 0x28] + long + [0x30], [0x7d, 0x68, 0, 0x4b, 1, 0x73], [0x65, 0x2e])
    case "shared-bytes", "shared-data", "data-as-numbers":
      return filled([0x80, 4, 0x5d, 0x28] + bytes + [0x94], [0x68, 0], [0x65, 0x2e])
    case "shared-numbers":
      // One array of NumPy's.
      let type = global("numpy", "dtype") + [0x8c, 2] + Array("f8".utf8) + [0x89, 0x88, 0x87, 0x52, 0x94]
      let data: [UInt8] = [0x42] + little(half / 8 * 8) + [UInt8](repeating: 1, count: half / 8 * 8)
      let array: [UInt8] =
        global("numpy._core.numeric", "_frombuffer") + [0x28] + data + type + [0x4a] + little(half / 8) + [
          0x85
        ]
        + [0x8c, 1, 0x43, 0x74, 0x52, 0x94]
      return filled([0x80, 4, 0x5d, 0x28] + array, [0x68, 3], [0x65, 0x2e])
    case "shared-object":
      // One object of many attributes.
      let items = Array((0..<(half / 6)).map(dictItem).joined())
      let object: [UInt8] = global("m", "C") + [0x29, 0x81, 0x94, 0x28] + items + [0x64, 0x62]
      return filled([0x80, 4, 0x5d, 0x28] + object, [0x68, 1], [0x65, 0x2e])
    case "object-append":
      return filled([0x80, 4] + global("m", "List") + [0x29, 0x81], [0x4e, 0x61], [0x2e])
    case "object-items":
      return filled([0x80, 4] + global("m", "Dict") + [0x29, 0x81], [0x4e, 0x4e, 0x73], [0x2e])
    case "long-class", "long-class-as-key", "long-class-states":
      // A class whose name is half of the pickle.
      let unit: [UInt8] =
        switch name {
        case "long-class": [0x68, 0, 0x29, 0x52]
        case "long-class-as-key": [0x7d, 0x68, 0, 0x4e, 0x73]
        default: [0x68, 0, 0x29, 0x81, 0x7d, 0x62]
        }
      return filled(
        [0x80, 4] + global("m", String(repeating: "k", count: half)) + [0x30, 0x5d, 0x28], unit, [0x65, 0x2e])
    case "long-class-attributes":
      let long = global("m", String(repeating: "k", count: half))
      return filled(
        [0x80, 4] + global("builtins", "getattr") + long + text("a") + [0x94, 0x5d, 0x28],
        [0x68, 0, 0x68, 1, 0x68, 2, 0x86, 0x52, 0x29, 0x52], [0x65, 0x2e])
    case "long-zone":
      let delta = global("datetime", "timedelta") + [0x4b, 0, 0x4b, 0, 0x4b, 0, 0x87, 0x52, 0x94]
      return filled(
        [0x80, 4] + global("datetime", "timezone") + delta + text(String(repeating: "k", count: half))
          + [0x94, 0x5d, 0x28], [0x68, 0, 0x68, 2, 0x68, 3, 0x86, 0x52], [0x65, 0x2e])
    case "shared-integer", "shared-integer-arguments":
      // One int of many bytes, which Python's pickler would write each time.
      let integer: [UInt8] = [0x8b] + little(half) + [UInt8](repeating: 1, count: half)
      if name == "shared-integer" {
        return filled([0x80, 4, 0x5d, 0x28] + integer + [0x94], [0x68, 0], [0x65, 0x2e])
      }
      return filled(
        [0x80, 4] + global("m", "C") + integer + [0x85, 0x94, 0x5d, 0x28], [0x68, 0, 0x68, 1, 0x52],
        [0x65, 0x2e])
    case "shared-digits-as-key":
      // One int whose decimal digits take long to find.
      let integer: [UInt8] = [0x8b] + little(1780) + [UInt8](repeating: 1, count: 1780) + [0x94]
      return filled([0x80, 4] + integer + [0x5d, 0x28], [0x7d, 0x68, 0, 0x4b, 1, 0x73], [0x65, 0x2e])
    case "shared-fraction":
      let digits = String(repeating: "7", count: 4000)
      let fraction = global("fractions", "Fraction") + text("\(digits)/\(digits)") + [0x85, 0x94]
      return filled([0x80, 4] + fraction + [0x5d, 0x28], [0x68, 0, 0x68, 1, 0x52], [0x65, 0x2e])
    case "combining-marks":
      // Texts that Unicode's normalisation sorts, which takes time with the square of their length, at each place where a
      // name or an option is expected.
      let marks = "a" + String(repeating: "\u{301}\u{316}", count: byteCount / 32)
      let delta = global("datetime", "timedelta") + [0x4b, 0, 0x4b, 0, 0x4b, 0, 0x87, 0x52]
      let zone = Array("cdatetime\ntimezone\n".utf8) + delta + text(marks) + [0x86, 0x52]
      let type = Array("cnumpy\ndtype\n".utf8) + [0x8c, 2] + Array("i8".utf8) + [0x89, 0x88, 0x87, 0x52]
      let objects: [[UInt8]] = [
        Array("c\(marks)\n\(marks)\n".utf8) + [0x29, 0x52],
        Array("cpathlib\n\(marks)\n".utf8) + [0x29, 0x52],
        Array("ccopyreg\n_reconstructor\ncm\nC\nc__builtin__\n\(marks)\n".utf8) + [0x4e, 0x87, 0x52],
        Array("cuuid\nUUID\n".utf8) + [0x29, 0x81, 0x7d] + text(marks) + [0x4b, 1, 0x73, 0x62],
        [0x28] + zone + zone + [0x91],
        type + [0x28, 0x4b, 3] + text(marks) + [0x4e, 0x4e, 0x4e, 0x4b, 0, 0x4b, 0, 0x4b, 0, 0x74, 0x62],
      ]
      return [0x80, 2, 0x5d, 0x28] + Array(objects.joined()) + [0x65, 0x2e]
    case "nested-enums":
      // A tree of one long branch, at whose end one leaf is again and again.
      let kind = text("kind") + [0x7d, 0x28] + text("plain") + [0x7d, 0x75]
      let branch = [0x7d, 0x28] + kind + text("kids") + [0x5d, 0x28]
      let leaf = [0x7d, 0x94, 0x28] + kind + text("kids") + [0x5d, 0x75]
      let start = Array(repeatElement(branch, count: 230).joined()) + leaf
      return filled(
        [0x80, 4] + start, [0x68, 0],
        Array(repeatElement([0x65, 0x75] as [UInt8], count: 230).joined()) + [0x2e])
    case "overlapping-fields":
      // Records of one byte that is many fields.
      let fields = max(1, min(1023, byteCount / 60))
      let names = [0x28] + Array((0..<fields).map { text("\($0)") }.joined()) + [0x74]
      let type = Array("cnumpy\ndtype\n".utf8)
      let byte = type + [0x8c, 2] + Array("u1".utf8) + [0x89, 0x88, 0x87, 0x52, 0x4b, 0, 0x86, 0x94]
      let places: [UInt8] =
        [0x7d, 0x28] + text("0") + byte
        + Array((1..<fields).map { text("\($0)") + [0x68, 0] }.joined()) + [0x75]
      let record =
        type + [0x8c, 2] + Array("V1".utf8) + [0x89, 0x88, 0x87, 0x52, 0x28, 0x4b, 3, 0x8c, 1, 0x7c, 0x4e]
        + names + places + [0x4b, 1, 0x4b, 1, 0x4b, 16, 0x74, 0x62]
      let count = max(1, byteCount - 20 * fields)
      let data: [UInt8] = [0x42] + little(count) + [UInt8](repeating: 1, count: count)
      return [0x80, 4] + Array("cnumpy._core.numeric\n_frombuffer\n".utf8) + [0x28] + data + record + [0x4a]
        + little(count) + [0x85, 0x8c, 1, 0x43, 0x74, 0x52, 0x2e]
    case "frozensets-as-keys":
      let keys = (0..<(byteCount / 15)).map { number in
        [0x28, 0x4a] + little(number) + [0x4a] + little(-number - 1) + [0x91, 0x4b, 1]
      }
      return [0x80, 4, 0x7d, 0x28] + Array(keys.joined()) + [0x75, 0x2e]
    default: preconditionFailure("no pickle \(name)")
    }
  }

  /// A type that nests by recursion; a value of a dictionary and of a sequence alike.
  private struct Tree: Decodable {
    init(from decoder: any Decoder) throws {
      if let keyed = try? decoder.singleValueContainer().decode([String: Tree].self) {
        withExtendedLifetime(keyed) {}
      } else if var list = try? decoder.unkeyedContainer() {
        while !list.isAtEnd { _ = try list.decode(Tree.self) }
      }
    }
  }
  private struct Fields: Decodable { var a: Int?, b: Int? }
  /// Decodes anything, by what it is named and by what it holds.
  private struct Attempts: Decodable {
    init(from decoder: any Decoder) throws {
      let single = try decoder.singleValueContainer()
      _ = (try? single.decode(String.self), try? single.decode(URL.self), try? single.decode(Date.self))
      _ = (try? Fields(from: decoder), try? single.decode([Int].self))
    }
  }
  private struct Branch: Decodable {
    enum Kind: Decodable {
      case number(Int)
      case plain
    }
    var kids: [Branch]
    var kind: Kind
  }

  /// Keeps all that has been decoded until here.
  @inline(never)
  private static func count(_ elements: [some Any]) { withExtendedLifetime(elements) {} }

  private static func outcome(of bytes: [UInt8], _ name: String, repeatedParts: Int? = nil) -> String {
    var decoder = PickleDecoder()
    if let repeatedParts { decoder.limits.repeatedParts = repeatedParts }
    do {
      switch name {
      case "growing-lists": _ = try decoder.decode([Int].self, from: bytes)
      case "shared-table": _ = try decoder.decode([[String: Int]].self, from: bytes)
      case "shared-list": _ = try decoder.decode(Tree.self, from: bytes)
      case "same-keys": _ = try decoder.decode([Fields].self, from: bytes)
      case "shared-text": count(try decoder.decode([String].self, from: bytes))
      case "shared-key": count(try decoder.decode([[String: Int]].self, from: bytes))
      case "shared-bytes": count(try decoder.decode([[UInt8]].self, from: bytes))
      case "shared-data": count(try decoder.decode([Data].self, from: bytes))
      case "data-as-numbers": count(try decoder.decode([[Int?]].self, from: bytes))
      case "shared-numbers": count(try decoder.decode([[Double]].self, from: bytes))
      case "shared-decimal": count(try decoder.decode([Decimal].self, from: bytes))
      case "shared-object": count(try decoder.decode([Fields].self, from: bytes))
      case "shared-url": count(try decoder.decode([URL].self, from: bytes))
      case "shared-digits-as-key": count(try decoder.decode([[String: Int]].self, from: bytes))
      case "shared-fraction": count(try decoder.decode([Double].self, from: bytes))
      case "shared-integer": count(try decoder.decode([PickleInt].self, from: bytes))
      case "nested-enums": _ = try decoder.decode(Branch.self, from: bytes)
      case "overlapping-fields": count(try decoder.decode([PickleValue].self, from: bytes))
      case "frozensets-as-keys": _ = try decoder.decode([PickleValue: Int].self, from: bytes)
      default: break
      }
      let value = try PickleValue(pickle: bytes)
      _ = value.description
      switch name {
      case "shared-dict": _ = try decoder.decode([Fields].self, from: value)
      case "shared-lists", "long-class", "long-class-states", "long-class-attributes":
        _ = try decoder.decode(Tree.self, from: value)
      case "ranges": _ = try decoder.decode([Int].self, from: value)
      case "combining-marks": _ = try decoder.decode([Attempts].self, from: value)
      default: break
      }
      _ = try value.pickled()
      return "value"
    } catch let error as PickleError {
      return "\(error.kind)"
    } catch {
      return error is DecodingError ? "DecodingError" : "\(error)"
    }
  }
}
