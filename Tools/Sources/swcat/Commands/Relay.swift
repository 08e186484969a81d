internal import ArgumentParser

/// `swcat relay`: a bridge.
struct Relay: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Bridge two peers, both ways, and translate the framing.",
    discussion: """
      Payloads pass as they are. Between pickle and msgpack, values are translated; between either and a framing of \
      bytes, the bytes are the value's JSON text. It ends when both peers have ended; --linger limits how long the other \
      may go on when one has. --tee writes what passes in the framing --from.

      Examples:
        swcat relay unix:/tmp/python unix:/tmp/msgpack --from pickle --to msgpack --authkey-file key
        ssh host swcat relay stdio: unix:/run/app.sock --from varint --to varint
        swcat listen tcp:127.0.0.1:4000 --framing lines --exec 'swcat relay stdio: unix:/run/app.sock --from lines --to u32be'
      """)

  @Argument(
    help: ArgumentHelp(
      "The first peer: unix:PATH, unix:@NAME, tcp:HOST:PORT, fd:N, fd:R,W or stdio:.", valueName: "ADDRESS"),
    transform: { text in try PeerAddress(parsing: text) })
  var first: PeerAddress

  @Argument(
    help: ArgumentHelp("The second peer.", valueName: "ADDRESS"),
    transform: { text in try PeerAddress(parsing: text) })
  var second: PeerAddress

  @Option(
    help: ArgumentHelp(
      "How messages lie in the first peer's stream: \(FramingChoice.names).", valueName: "F"),
    completion: .list(FramingChoice.completions),
    transform: { name in try FramingChoice(named: name) })
  var from: FramingChoice

  @Option(
    help: ArgumentHelp("How messages lie in the second peer's stream.", valueName: "F"),
    completion: .list(FramingChoice.completions),
    transform: { name in try FramingChoice(named: name) })
  var to: FramingChoice

  @OptionGroup var limit: LimitOption
  @OptionGroup var skip: SkipOption
  @OptionGroup var peers: PeerOptions
  @OptionGroup var ending: LingerOption
  @OptionGroup var reports: ReportOptions

  func validate() throws {
    try peers.validate(for: from, to)
    let (a, b) = (first.descriptors, second.descriptors)
    if let a, let b,
      a.reading == b.reading || a.writing == b.writing || a.reading == b.writing || a.writing == b.reading
    {
      throw ValidationError("the peers share a descriptor")
    }
  }

  func run() async throws {
    try first.claim()
    try second.claim()
    var settings = try await peers.settings(limit, reports)
    settings.activity = settings.timeout.map { Activity(limit: $0) }
    let one = try await Peer.reach(first, from, settings, for: .both)
    settings.teesFrames = false
    let other = try await Peer.reach(second, to, settings, for: .both)
    settings.activity?.note()
    let bridge = Bridge(
      first: one, second: other, skipsUndecodable: skip.skipUndecodable, linger: ending.linger)
    if try await !bridge.run() {
      throw Failure(.broken, "messages were skipped that are not understood")
    }
  }
}
