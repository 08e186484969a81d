internal import ArgumentParser
internal import Foundation

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Runs benchmarks, all of them unless some are named.")

  @Argument(help: "Names, their beginnings, or patterns with * and ?; see `swbench list`.")
  var names: [String] = []
  @Flag(help: "Few and short rounds: to see that everything works.") var quick = false
  @Option(help: "How many rounds each contender runs.") var rounds: Int?
  @Option(help: "How long a round lasts, in milliseconds.") var milliseconds: Int?
  @Option(name: .customLong("json"), help: "Write all figures to this file.") var jsonFile: String?
  @Option(name: .customLong("svg"), help: "Write plots to this directory.") var plots: String?

  func run() async throws {
    let benchmarks = Catalogue.matching(names)
    guard !benchmarks.isEmpty else {
      throw ValidationError("no benchmark is named so: \(names.joined(separator: " "))")
    }
    let progress = Progress()
    let runner = Runner(
      rounds: max(rounds ?? (quick ? 3 : 9), 1),
      roundSeconds: Double(max(milliseconds ?? (quick ? 10 : 40), 1)) / 1000, progress: progress)
    var report = Report(command: CommandLine.arguments.dropFirst().joined(separator: " "))
    for (index, benchmark) in benchmarks.enumerated() {
      progress.note("[\(index + 1)/\(benchmarks.count)] \(benchmark.name)")
      let result = await runner.run(benchmark)
      report.results.append(result)
      print(ResultTable(result).text)
    }
    try report.write(jsonFile: jsonFile)
  }
}
