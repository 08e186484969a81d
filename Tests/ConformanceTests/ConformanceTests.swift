import Foundation
import TestSupport
import Testing

/// Every feature of Codable through every family of coders.
@Suite(.lastResort, .leavesNothing) struct ConformanceTests {
  @Test(arguments: Feature.all, Coder.ways)
  func `every feature comes back`(_ feature: Feature, _ coder: Coder) throws {
    if feature.python[coder.family] == nil { return }
    #expect(try feature.roundTrip(coder))
  }

  /// The interpreter that `SWTEST_PYTHON` names, or that of `.venv` in the package; nil if there is none.
  static let python: String? = {
    let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let named = ProcessInfo.processInfo.environment["SWTEST_PYTHON"]
    return [named, package.appending(path: ".venv/bin/python").path].compactMap(\.self)
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }()

  /// Values are equal and of the same types: in Python 1 == 1.0 == True.
  static let script = """
    import sys
    def same(a, b):
        if type(a) is not type(b): return False
        if isinstance(a, dict):
            return len(a) == len(b) and all(any(same(k, l) and same(a[k], b[l]) for l in b) for k in a)
        if isinstance(a, list): return len(a) == len(b) and all(map(same, a, b))
        return a == b
    for line in sys.stdin:
        name, text, reader, expected = line.rstrip("\\n").split("\\t")
        data = bytes.fromhex(text)
        found, wanted = eval(reader), eval(expected)
        if not same(found, wanted): print(f"{name}: found {found!r}, expected {wanted!r}")
    print("done")
    """

  @Test(.enabled(if: python != nil, "no Python: set SWTEST_PYTHON, or run scripts/setup-python"))
  func `what arrives in Python is what a Python programmer would have written`() throws {
    let python = try #require(Self.python)
    var lines = ""
    for coder in Coder.all {
      for feature in Feature.all {
        guard let expected = feature.python[coder.name] else { continue }
        let hex = try feature.encode(coder).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        lines += "\(coder.name), \(feature.name)\t\(hex)\t\(coder.python)\t\(expected)\n"
      }
    }
    let process = Process()
    let (input, output) = (Pipe(), Pipe())
    process.executableURL = URL(filePath: python)
    process.arguments = ["-c", Self.script]
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    try input.fileHandleForWriting.write(contentsOf: Data(lines.utf8))
    try input.fileHandleForWriting.close()
    let printed = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(printed == "done\n")
  }
}

/// A value that writes to the containers of other values.
@Suite(.lastResort, .leavesNothing) struct EncodingTurnTests {
  /// The use that a value makes of a container whose turn it is not.
  enum Misuse: CaseIterable, Sendable {
    case keyed, keyedNil, nested, nestedList, superOfKey, container, unkeyed, unkeyedNil, wide, nestedInList,
      single
  }

  struct Key: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  struct Inner: Encodable {
    let misuse: (any Encoder) throws -> Void
    func encode(to encoder: any Encoder) throws {
      var map = encoder.container(keyedBy: Key.self)
      try map.encode(1, forKey: Key("inner"))
      try misuse(encoder)
      try map.encode(2, forKey: Key("more"))
    }
  }

  struct Outer: Encodable {
    let misuse: Misuse
    /// Whether the misuse comes when the value is complete.
    let isLate: Bool

    func encode(to encoder: any Encoder) throws {
      var call: () throws -> Void = {}
      var map = encoder.container(keyedBy: Key.self)
      if isLate {
        let part = Inner { encoder in
          var list: (any UnkeyedEncodingContainer)?
          let single = encoder.singleValueContainer()
          var map = encoder.container(keyedBy: Key.self)
          call = { try use(&map, &list, single, encoder) }
        }
        try map.encode(part, forKey: Key("part"))
        try call()
        return
      }
      switch misuse {
      case .unkeyed, .unkeyedNil, .wide, .nestedInList:
        var list: (any UnkeyedEncodingContainer)? = map.nestedUnkeyedContainer(forKey: Key("list"))
        let single = encoder.singleValueContainer()
        let inner = Inner { [map, list] _ in
          var (map, list) = (map, list)
          try use(&map, &list, single, encoder)
        }
        try list?.encode(inner)
      default:
        var list: (any UnkeyedEncodingContainer)?
        let single = encoder.singleValueContainer()
        let inner = Inner { [map] _ in
          var map = map
          try use(&map, &list, single, encoder)
        }
        try map.encode(inner, forKey: Key("value"))
      }
    }

    private func use(
      _ map: inout KeyedEncodingContainer<Key>, _ list: inout (any UnkeyedEncodingContainer)?,
      _ single: any SingleValueEncodingContainer, _ encoder: any Encoder
    ) throws {
      var single = single
      switch misuse {
      case .keyed: try map.encode(1, forKey: Key("x"))
      case .keyedNil: try map.encodeNil(forKey: Key("x"))
      case .nested:
        var nested = map.nestedContainer(keyedBy: Key.self, forKey: Key("x"))
        try nested.encode(1, forKey: Key("y"))
      case .nestedList:
        var nested = map.nestedUnkeyedContainer(forKey: Key("x"))
        try nested.encode("y")
      case .superOfKey:
        var nested = map.superEncoder().container(keyedBy: Key.self)
        try nested.encode(1, forKey: Key("y"))
      case .container:
        var again = encoder.container(keyedBy: Key.self)
        try again.encode(1, forKey: Key("y"))
      case .unkeyed: try list?.encode(1)
      case .unkeyedNil: try list?.encodeNil()
      case .wide: try list?.encode(Int128(1))
      case .nestedInList:
        var nested = list?.nestedUnkeyedContainer()
        try nested?.encode(1)
      case .single: try single.encode(1)
      }
    }
  }

  @Test(arguments: Misuse.allCases, [false, true])
  func `a container out of turn is an error and no trap`(_ misuse: Misuse, _ isLate: Bool) throws {
    if isLate, [.unkeyed, .unkeyedNil, .wide, .nestedInList].contains(misuse) { return }
    for coder in [Coder.msgPack, .pickle] {
      let error = #expect(throws: EncodingError.self, "\(coder.name)") {
        try coder.encode(Outer(misuse: misuse, isLate: isLate))
      }
      #expect("\(try #require(error))".contains("cannot encode into this container now"), "\(coder.name)")
      // The coder is as before.
      #expect(try coder.encode(["a": 1]).isEmpty == false)
    }
  }
}
