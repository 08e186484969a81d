internal import Foundation

/// A whole run: where and how, and what came out.
struct Report: Codable, Sendable {
  var date = Date.now
  var rounds: Int
  var milliseconds: Int
  var kernel = Machine.kernel
  var processor = Machine.processor
  var processorCount = ProcessInfo.processInfo.processorCount
  var compiler = Machine.compiler
  /// How busy the machine was before the run; nothing else should run beside it.
  var loadBefore = Machine.load
  var results: [BenchmarkResult] = []

  init(rounds: Int, milliseconds: Int) {
    self.rounds = rounds
    self.milliseconds = milliseconds
  }

  func write(to jsonFile: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    encoder.dateEncodingStrategy = .iso8601
    try encoder.encode(self).write(to: URL(filePath: jsonFile))
  }
}
