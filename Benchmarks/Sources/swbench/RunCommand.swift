internal import ArgumentParser
internal import CFloor
internal import Foundation

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Runs benchmarks, all of them unless some are named.")

  @Argument(help: "Names, their beginnings, or patterns with * and ?; see `swbench list`.")
  var names: [String] = []
  @Flag(help: "Few and short rounds: to see that everything works.") var quick = false
  @Option(help: "Of each benchmark only the first contender, and those whose titles contain this.")
  var only: [String] = []
  @Option(help: "How many rounds each contender runs.") var rounds: Int?
  @Option(help: "How long a round lasts, in milliseconds.") var milliseconds: Int?
  @Option(name: .customLong("json"), help: "Write all figures to this file.") var jsonFile: String?
  @Option(name: .customLong("svg"), help: "Write plots to this directory.") var plots: String?
  @Option(
    name: .customLong("page"), help: "Put the tables of a whole run into the places of this Markdown page.")
  var page: String?
  @Option(
    help: "Run both ends of everything on this processor: steadier round trips, and nothing in parallel.")
  var processor: Int32?
  @Flag(help: "Do not show progress.") var quiet = false

  func run() async throws {
    let benchmarks = Catalogue.matching(names)
    guard !benchmarks.isEmpty else {
      throw ValidationError("no benchmark is named so: \(names.joined(separator: " "))")
    }
    if page != nil, !names.isEmpty || !only.isEmpty {
      throw ValidationError("a page shows one whole run: do not name benchmarks or contenders")
    }
    if let page, !FileManager.default.isWritableFile(atPath: page) {
      throw ValidationError("there is no page \(page) that could be written")
    }
    if let processor { try checked("sched_setaffinity", floor_pin(processor)) }
    let progress = Progress(isQuiet: quiet)
    var report = Report(
      rounds: max(rounds ?? (quick ? 3 : 9), 1), milliseconds: max(milliseconds ?? (quick ? 10 : 40), 1))
    if report.loadBefore > 0.5 {
      progress.note("The machine is busy (load \(report.loadBefore.digits(1))): figures will lie far apart.")
    }
    let runner = Runner(
      rounds: report.rounds, roundSeconds: Double(report.milliseconds) / 1000, progress: progress)
    for (index, var benchmark) in benchmarks.enumerated() {
      if !only.isEmpty {
        let first = benchmark.contenders.prefix(1)
        benchmark.contenders =
          first
          + benchmark.contenders.dropFirst().filter { contender in
            only.contains(where: contender.title.contains)
          }
      }
      progress.note("[\(index + 1)/\(benchmarks.count)] \(benchmark.name)")
      let result = await runner.run(benchmark)
      report.results.append(result)
      print(ResultTable(result).text)
    }
    let goals = report.goals.filter(\.isMeasured)
    if !goals.isEmpty { print(GoalTable(rows: goals).text) }
    if let jsonFile { try report.write(to: jsonFile) }
    if let plots { try report.writePlots(to: plots) }
    if let page { try Page(report: report).update(page) }
  }
}
