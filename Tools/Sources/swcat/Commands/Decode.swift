internal import ArgumentParser
internal import SWMessaging

/// `swcat decode`: frames in, lines out.
struct Decode: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Frames from standard input, one message a line to standard output.",
    discussion: """
      Each message is printed as it comes. With --count nothing is read behind the last message, which stays for \
      the next reader of the same input.

      Examples:
        swcat encode --framing varint <words | swcat decode --framing varint
        swcat decode --framing content-length --output json <server.log
        swcat decode --framing pickle --output tagged --count 1 <frames
      """)

  @OptionGroup var options: FramingOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var count: CountOption
  @OptionGroup var reports: ReportOptions

  func run() async throws {
    let settings = try reports.settings(options.limit)
    let screen = try Screen(output, options.framing)
    let input = try Peer.standardInput(
      options.framing, settings, mode: count.count == nil ? .readAhead : .exact)
    try await screen.show(input, count)
  }
}
