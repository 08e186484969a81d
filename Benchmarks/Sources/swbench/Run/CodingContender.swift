internal import CFloor
internal import Foundation
internal import SWMsgPack

/// Encodes or decodes one value, over and over.
struct CodingContender<Value: Codable & Sendable>: Contender {
  enum Coder: String, CaseIterable, Sendable {
    case own = "SWMsgPack"
    case json = "Foundation JSON"
  }

  let value: Value
  let coder: Coder
  let isEncoding: Bool
  var title: String { coder.rawValue }

  func prepare() async throws {}
  func finish() async {}

  func round(_ operations: Int) async throws -> Round {
    try await onThread {
      let (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
      let (jsonEncoder, jsonDecoder) = (JSONEncoder(), JSONDecoder())
      let data = coder == .own ? try encoder.encode(value) : try jsonEncoder.encode(value)
      let before = floor_now()
      switch (coder, isEncoding) {
      case (.own, true):
        for _ in 0..<operations { withExtendedLifetime(try encoder.encode(value)) {} }
      case (.own, false):
        for _ in 0..<operations { withExtendedLifetime(try decoder.decode(Value.self, from: data)) {} }
      case (.json, true):
        for _ in 0..<operations { withExtendedLifetime(try jsonEncoder.encode(value)) {} }
      case (.json, false):
        for _ in 0..<operations { withExtendedLifetime(try jsonDecoder.decode(Value.self, from: data)) {} }
      }
      return Round(operations: operations, amount: Double(floor_now() - before))
    }
  }
}

/// Python's msgpack, with its C extension: a process that packs or unpacks the same value to and from its own
/// dictionaries and lists.
final class PythonCodingContender<Value: Codable & Sendable>: Contender {
  let title = "Python msgpack"
  private let value: Value
  private let isEncoding: Bool
  private let driver = PythonDriver()

  init(value: Value, isEncoding: Bool) {
    self.value = value
    self.isEncoding = isEncoding
  }

  func prepare() async throws {
    let (interpreter, path) = try Python.script("msgpack_bench")
    let bytes = try MsgPackEncoder().encode(value)
    let file = FileManager.default.temporaryDirectory.appending(path: "swbench-\(getpid()).msgpack")
    try bytes.write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    try await driver.start(interpreter, [path, isEncoding ? "pack" : "unpack", file.path])
  }

  func round(_ operations: Int) async throws -> Round {
    Round(operations: operations, amount: Double(try await driver.figures(of: operations).elapsed))
  }

  func finish() async { await driver.finish() }
  func interrupt() { driver.kill() }
  var peerFate: String { driver.fate }
}
