internal import Foundation

/// A whole run: its date and machine, and its results.
struct Report: Codable, Sendable {
  var date = Date.now
  var rounds: Int
  var milliseconds: Int
  var kernel = Machine.kernel
  var processor = Machine.processor
  var processorCount = ProcessInfo.processInfo.processorCount
  var compiler = Machine.compiler
  /// The load of the machine before the run. Nothing else should run at the same time.
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
