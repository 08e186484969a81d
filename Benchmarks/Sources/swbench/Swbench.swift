internal import ArgumentParser
internal import Foundation

/// The benchmarks' program.
@main
struct Swbench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swbench",
    abstract: "Measures SWMessaging beside plain C, SwiftNIO, FlyingSocks and Python.",
    subcommands: [RunCommand.self, ListCommand.self, PeerCommand.self],
    defaultSubcommand: RunCommand.self)

  static func main() async {
    // The plain C and the other libraries write to peers that may be gone.
    _ = signal(SIGPIPE, SIG_IGN)
    await main(nil)
  }
}
