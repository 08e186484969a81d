internal import Foundation

/// A whole run: where and how, and what came out.
struct Report: Codable, Sendable {
  var date = Date.now
  var command: String
  var kernel = Machine.kernel
  var processor = Machine.processor
  var processorCount = ProcessInfo.processInfo.processorCount
  var compiler = Machine.compiler
  var results: [BenchmarkResult] = []

  init(command: String) { self.command = command }

  func write(jsonFile: String?) throws {
    guard let jsonFile else { return }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    encoder.dateEncodingStrategy = .iso8601
    try encoder.encode(self).write(to: URL(filePath: jsonFile))
  }
}
