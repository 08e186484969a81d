internal import ArgumentParser

#if canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// `swcat connect`: both ways at a terminal.
struct Connect: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Talk to a peer: lines of standard input are sent, its messages are printed.",
    discussion: """
      It ends with the peer. The end of standard input half-closes, and what the peer still sends is printed. At a \
      terminal, a line that is no message is complained of, and the next one is read.

      Examples:
        swcat connect unix:/tmp/s --framing varint
        swcat connect tcp:localhost:4000 --framing content-length --input json --output json --color
        printf '1\\n2\\n' | swcat connect unix:/tmp/s --framing msgpack --input json --linger 5
      """)

  @OptionGroup var address: AddressArgument
  @OptionGroup var options: FramingOptions
  @OptionGroup var lines: InputOption
  @OptionGroup var output: OutputOptions
  @OptionGroup var peers: PeerOptions
  @OptionGroup var ending: LingerOption
  @OptionGroup var passing: PassOption
  @OptionGroup var reports: ReportOptions

  func validate() throws {
    try peers.validate(for: options.framing)
    try passing.validate(for: address.address)
    if address.address.usesStandardInput || address.address.usesStandardOutput {
      throw ValidationError(
        "standard streams cannot be the peer: lines come from there, and messages go there")
    }
  }

  func run() async throws {
    try address.address.claim()
    var settings = try await peers.settings(options.limit, reports)
    settings.activity = settings.timeout.map { Activity(limit: $0) }
    let descriptor = try passing.open()
    let peer = try await Peer.reach(address.address, options.framing, settings, for: .both)
    settings.activity?.note()
    let sender = LineSender(
      peer: peer, format: lines.input, descriptor: descriptor, isForgiving: isatty(0) == 1)
    try await Conversation(
      sender: sender, screen: Screen(output, options.framing), linger: ending.linger
    ).run()
  }
}
