internal import CFloor
internal import Foundation
internal import SWPickle

/// Pickles or unpickles one value of Swift's, over and over.
struct PickleContender<Value: Codable & Sendable>: Contender {
  let value: Value
  let isEncoding: Bool
  var title: String { "SWPickle" }

  func prepare() async throws {}
  func finish() async {}

  func round(_ operations: Int) async throws -> Round {
    try await onThread {
      let (encoder, decoder) = (PickleEncoder(), PickleDecoder())
      let pickle = try encoder.encodeBytes(value)
      let before = floor_now()
      if isEncoding {
        for _ in 0..<operations { withExtendedLifetime(try encoder.encodeBytes(value)) {} }
      } else {
        for _ in 0..<operations { withExtendedLifetime(try decoder.decode(Value.self, from: pickle)) {} }
      }
      return Round(operations: operations, amount: Double(floor_now() - before))
    }
  }
}

/// CPython's pickle, in C: a process that pickles or unpickles the same value as its own dictionaries and lists.
final class PythonPickleContender<Value: Codable & Sendable>: Contender {
  let title = "CPython pickle"
  private let value: Value
  private let isEncoding: Bool
  private let driver = PythonDriver()

  init(value: Value, isEncoding: Bool) {
    self.value = value
    self.isEncoding = isEncoding
  }

  func prepare() async throws {
    let (interpreter, path) = try Python.script("pickle_bench")
    let file = FileManager.default.temporaryDirectory.appending(path: "swbench-\(getpid()).pickle")
    try PickleEncoder().encode(value).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    try await driver.start(interpreter, [path, isEncoding ? "pickle" : "unpickle", file.path])
  }

  func round(_ operations: Int) async throws -> Round {
    Round(operations: operations, amount: Double(try await driver.figures(of: operations).elapsed))
  }

  func finish() async { await driver.finish() }
  func interrupt() { driver.kill() }
  var peerFate: String { driver.fate }
}
