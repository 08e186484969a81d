internal import ArgumentParser
internal import SWMessaging

/// `swcat call`: messages to a peer, and its reply to each.
struct Call: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Send each message to a peer, and print its reply before the next is sent.",
    discussion: """
      The reply is the next message that comes. With --linger further messages are printed behind the last reply.

      Examples:
        swcat call unix:/tmp/s --framing varint hello world
        swcat call tcp:localhost:6000 --framing pickle --authkey-file key --input json --timeout 5 '["square",7]'
        swcat call unix:/tmp/lsp --framing content-length --input json --output json '{"jsonrpc":"2.0","id":1,"method":"shutdown"}'
      """)

  @OptionGroup var address: AddressArgument
  @Argument(help: ArgumentHelp("The messages.", valueName: "MESSAGE")) var messages: [String]
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
    if address.address.usesStandardOutput {
      throw ValidationError("standard output cannot be the peer: the replies go there")
    }
  }

  func run() async throws {
    try address.address.claim()
    let payloads = try MessageArguments.payloads(messages, options.framing, lines.input)
    let settings = try await peers.settings(options.limit, reports)
    var descriptor = try passing.open()
    let peer = try await Peer.reach(address.address, options.framing, settings, for: .both)
    let screen = try Screen(output, options.framing)
    var inbox = try peer.inbox()
    for (index, payload) in payloads.enumerated() {
      do {
        try await peer.send([payload], passing: descriptor)
      } catch let error as Unsent {
        throw error.failure(at: "message \(index + 1)")
      }
      descriptor = nil
      guard let reply = try await inbox.next(most: 1, timeout: settings.timeout) else {
        if Stop.shared.signal != nil { throw Interrupted() }
        throw Failure(.connection, "\(peer.name): the peer ended before it replied to message \(index + 1)")
      }
      try await screen.show(reply, from: inbox.frames)
    }
    peer.finishSending()
    if let linger = ending.linger {
      let listening = Task { [inbox] in
        var inbox = inbox
        while let more = try await inbox.next() { try await screen.show(more, from: inbox.frames) }
      }
      try await wait(for: listening, atMost: linger)
    }
    try screen.finish()
  }
}
