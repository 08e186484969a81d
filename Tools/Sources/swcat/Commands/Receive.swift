internal import ArgumentParser
internal import SWMessaging

/// `swcat receive`: a peer's messages.
struct Receive: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Receive messages from a peer, and print each on a line.",
    discussion: """
      Each message is printed as it comes, until the peer's end. --timeout is how long to wait for each.

      Examples:
        swcat receive unix:/tmp/events --framing lines --output json --color
        swcat receive tcp:localhost:4000 --framing msgpack --count 1 --timeout 5
        swcat receive unix:/tmp/s --framing pickle --authkey-file key --output tagged
      """)

  @OptionGroup var address: AddressArgument
  @OptionGroup var options: FramingOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var count: CountOption
  @OptionGroup var peers: PeerOptions
  @OptionGroup var reports: ReportOptions

  func validate() throws {
    try peers.validate(for: options.framing)
  }

  func run() async throws {
    try address.address.claim()
    let settings = try await peers.settings(options.limit, reports)
    // Another program may read the same descriptor after the last message.
    let peer = try await Peer.reach(
      address.address, options.framing, settings, for: .receiving,
      mode: count.count == nil ? .readAhead : .exact)
    try await Screen(output, options.framing).show(peer, count)
  }
}
