import Foundation
import TestSupport
import Testing

/// Every feature of Codable through every family of coders.
@Suite(.lastResort, .leavesNothing) struct ConformanceTests {
  @Test(arguments: Feature.all, Coder.all)
  func `every feature comes back`(_ feature: Feature, _ coder: Coder) throws {
    if feature.python[coder.name] == nil { return }
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
