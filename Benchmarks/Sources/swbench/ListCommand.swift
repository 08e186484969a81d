internal import ArgumentParser

struct ListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Lists the benchmarks and who takes part in each.")

  @Flag(help: "Show who takes part.") var contenders = false

  func run() async throws {
    for benchmark in Catalogue.all {
      print(benchmark.name + (benchmark.isHidden ? "  (only when named)" : ""))
      if contenders { for contender in benchmark.contenders { print("    \(contender.title)") } }
    }
  }
}
