internal import ArgumentParser
internal import Foundation

/// The program of the benchmarks.
@main
struct Swbench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swbench",
    abstract: "Measures SWMessaging beside plain C, SwiftNIO, FlyingSocks and Python.",
    subcommands: [RunCommand.self, ListCommand.self, PeerCommand.self],
    defaultSubcommand: RunCommand.self)

  static func main() async {
    // Plain C and the other libraries may write to peers that are gone.
    _ = signal(SIGPIPE, SIG_IGN)
    await main(nil)
  }
}
