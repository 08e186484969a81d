internal import ArgumentParser
internal import SWMessaging
internal import Synchronization

/// `swcat listen`: a service.
struct Listen: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Listen, and print the messages of all peers, or answer them.",
    discussion: """
      With --echo each message goes back to its sender. With --exec each connection gets a process of the shell command: \
      its messages are the program's standard input, and the program's standard output is answered.

      What is wrong with one connection ends that one. A signal ends the service: nobody else can connect, what has \
      arrived is handled, and connections that are left are closed after 5 seconds, or --linger. Over unix: only the same \
      user may connect. fd:N is a socket that listens; stdio: and fd:R,W are one connection.

      Examples:
        swcat listen unix:/tmp/s --framing varint
        swcat listen tcp:127.0.0.1:4000 --framing u32be --echo --verbose
        swcat listen unix:/tmp/s --framing lines --exec 'tr a-z A-Z'
        swcat listen unix:/tmp/s --framing pickle --authkey-file key --count 1
      """)

  @OptionGroup var address: AddressArgument
  @OptionGroup var options: FramingOptions

  @Flag(help: "Send each message back.") var echo = false

  @Option(
    help: ArgumentHelp("Start this shell command for each connection.", valueName: "CMD"),
    completion: .shellCommand("compgen -c"))
  var exec: String?

  @OptionGroup var count: CountOption
  @OptionGroup var output: OutputOptions
  @OptionGroup var peers: PeerOptions
  @OptionGroup var ending: LingerOption
  @OptionGroup var reports: ReportOptions

  func validate() throws {
    try peers.validate(for: options.framing)
    if echo, exec != nil { throw ValidationError("--echo and --exec exclude each other") }
    if address.address.usesStandardOutput, !echo, exec == nil {
      throw ValidationError("standard output cannot be the peer: the messages go there; use --echo or --exec")
    }
  }

  func run() async throws {
    try address.address.claim()
    var settings = try await peers.settings(options.limit, reports)
    settings.activity = settings.timeout.map { Activity(limit: $0) }
    let patience = ending.linger ?? .seconds(5)
    Stop.shared.patience = patience + .seconds(3)
    let service = MessageService(
      choice: options.framing, answer: echo ? .echo : exec.map { .command($0) } ?? .print,
      quota: Quota(count.count),
      screen: try Screen(output, options.framing), settings: settings, patience: patience)
    switch address.address {
    case .service(let place): try await service.run(at: place)
    case .descriptors(let reading, let writing) where reading == writing && PeerAddress.isListening(reading):
      try await service.run(at: .descriptor(reading))
    default:
      try await service.serve(
        Peer.reach(
          address.address, options.framing, settings, for: .both,
          mode: count.count == nil ? .readAhead : .exact))
    }
    try service.finish()
  }
}
