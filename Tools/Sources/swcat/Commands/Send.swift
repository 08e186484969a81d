internal import ArgumentParser
internal import SWMessaging

/// `swcat send`: messages to a peer.
struct Send: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Send messages to a peer: from the arguments, else each line of standard input.",
    discussion: """
      Behind the last message it half-closes, and waits for the peer's end, for a second unless --linger says otherwise. \
      Messages of the peer are read and dropped.

      Examples:
        swcat send unix:/tmp/s --framing varint hello world
        tail -f app.log | swcat send tcp:localhost:4000 --framing u32be
        swcat send unix:/tmp/s --framing pickle --input json --authkey-file key '{"id":7}'
        swcat send unix:/tmp/s --framing lines --pass data.bin 'look at this'
      """)

  @OptionGroup var address: AddressArgument
  @Argument(help: ArgumentHelp("The messages.", valueName: "MESSAGE")) var messages: [String] = []
  @OptionGroup var options: FramingOptions
  @OptionGroup var lines: InputOption
  @OptionGroup var peers: PeerOptions
  @OptionGroup var ending: LingerOption
  @OptionGroup var passing: PassOption
  @OptionGroup var reports: ReportOptions

  func validate() throws {
    try peers.validate(for: options.framing)
    try passing.validate(for: address.address)
    let isPeer = !address.address.usesStandardOutput || peers.authkeyFile != nil
    if messages.isEmpty, address.address.usesStandardInput, isPeer {
      throw ValidationError(
        "standard input cannot be the peer and the messages' source: give messages as arguments")
    }
  }

  func run() async throws {
    try address.address.claim()
    let payloads = try MessageArguments.payloads(messages, options.framing, lines.input)
    let linger = ending.linger ?? .seconds(1)
    Stop.shared.patience = linger
    let settings = try await peers.settings(options.limit, reports)
    let descriptor = try passing.open()
    let peer = try await Peer.reach(address.address, options.framing, settings, for: .sending)
    let dropping = Task { try await peer.drop() }
    do {
      if payloads.isEmpty {
        try await LineSender(peer: peer, format: lines.input, descriptor: descriptor).run()
      } else {
        try await MessageArguments.send(payloads, to: peer, passing: descriptor)
      }
    } catch {
      // If this side closes with unread replies, TCP discards data that the peer has not read yet.
      peer.finishSending()
      try? await wait(for: dropping, atMost: linger)
      throw error
    }
    peer.finishSending()
    try await wait(for: dropping, atMost: linger)
  }
}
