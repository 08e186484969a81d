internal import SWMessaging
internal import SWMultiprocessing
internal import Synchronization

#if canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// The treatment of connections by `listen`.
final class MessageService: Sendable {
  enum Answer: Sendable {
    case print
    case echo
    /// A shell command, a process for each connection.
    case command(String)
  }

  private let choice: FramingChoice
  private let answer: Answer
  private let quota: Quota
  private let screen: Screen
  private let settings: Settings
  private let patience: Duration
  private let connectionCount = Mutex(0)
  /// The error that ends the service, and not one connection alone.
  private let failure = Mutex<(any Error)?>(nil)

  init(
    choice: FramingChoice, answer: Answer, quota: Quota, screen: Screen, settings: Settings,
    patience: Duration
  ) {
    self.choice = choice
    self.answer = answer
    self.quota = quota
    self.screen = screen
    self.settings = settings
    self.patience = patience
  }

  /// Listens, and serves every connection, until a signal comes or enough messages have.
  func run(at address: Address) async throws {
    let listener: Listener<SocketDuplex>
    do throws(EndpointError) {
      listener = try Listener(address)
    } catch {
      throw Failure(error, at: "\(address)")
    }
    Stop.shared.whenAsked { listener.finish() }
    // Where it is, if the kernel has chosen that.
    if listener.address != address {
      complain("listening at \(listener.address)")
    } else {
      settings.report.note("listening at \(address)")
    }
    if quota.left == 0 { return listener.finish() }
    settings.activity?.note()
    try await withThrowingTaskGroup(of: Void.self) { [self] group in
      group.addTask {
        do throws(EndpointError) {
          // On Swift's pool: a report on standard error may have to wait for its reader.
          try await listener.serve(limit: self.limit, draining: self.patience, on: nil) {
            await self.attend($0, of: listener)
          }
        } catch {
          throw Failure(error, at: "\(address)")
        }
      }
      if let activity = settings.activity {
        group.addTask { try await activity.watch(at: "\(listener.address)") }
      }
      _ = try await group.next()
      group.cancelAll()
    }
  }

  /// How many connections may be open at once. Nil: as many as the library allows. A connection with a process has more
  /// descriptors than its own, and needs others for a moment while the process is started.
  private var limit: Int? {
    guard case .command = answer else { return nil }
    var limit = rlimit()
    // Glibc's constant has a type of its own.
    #if canImport(Musl)
      let result = unsafe getrlimit(RLIMIT_NOFILE, &limit)
    #else
      let result = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    #endif
    return result == 0 ? max(Int(clamping: limit.rlim_cur) / 6, 1) : nil
  }

  private func attend(_ connection: SocketDuplex, of listener: Listener<SocketDuplex>) async {
    let number = connectionCount.withLock { count in
      count += 1
      return count
    }
    let name = "connection \(number)"
    settings.activity?.note()
    settings.report.note("\(name): accepted\(connection.peer.map { ", \($0)" } ?? "")")
    do {
      try await Peer.authenticate(connection, as: .listener, name, choice, settings)
      try await serve(Peer(connection, named: name, choice, settings))
    } catch let error as Failure where error.isOfPeer {
      complain(error.message)
    } catch is Interrupted {
      complain("\(name): closed before everything was handled")
    } catch is CancellationError {
      complain("\(name): closed before everything was handled")
    } catch {
      failure.withLock { $0 = $0 ?? error }
      listener.finish()
    }
    settings.report.note("\(name): closed")
    if quota.left == 0 { listener.finish() }
  }

  /// Serves one connection to its end.
  func serve(_ peer: Peer) async throws {
    switch answer {
    case .print:
      try await peer.receive(quota) { [screen] messages, frames in
        try await screen.show(messages, from: frames)
      }
    case .echo:
      try await peer.receive(quota) { messages, _ in
        do {
          try await peer.send(messages.map(\.payload))
        } catch let error as Unsent {
          throw error.failure(at: "\(peer.name): message at offset \(messages[error.index].offset)")
        }
      }
      peer.finishSending()
    case .command(let command): try await serve(peer, by: command)
    }
  }

  private func serve(_ peer: Peer, by command: String) async throws {
    var inner = settings
    inner.teesFrames = false
    do {
      try await withChildProcess(
        Command("/bin/sh", arguments: ["-c", command]), channel: .standardStreams,
        framing: inner.framing(choice),
        maximumFrameSize: settings.maximumFrameSize,
        ending: [.finishInput(within: patience), .signal(.terminate, within: .seconds(2))]
      ) { [inner, choice, quota] child in
        let program = Peer(child.channel, named: "\(peer.name), '\(command)'", choice, inner)
        _ = try await Bridge(first: peer, second: program, quota: quota, endsWithSecond: true).run()
        child.channel.finishSending()
        let status = try await child.exitStatus
        if !status.isSuccess { throw Failure(.connection, "\(program.name): \(status)") }
      }
    } catch let error as EndpointError {
      // The process cannot be started, for example, because descriptors are missing at the moment.
      throw Failure(error, at: "\(peer.name), '\(command)'")
    }
  }

  /// Call it at the end.
  func finish() throws {
    if let failure = failure.withLock({ $0 }) { throw failure }
    try quota.check()
    try screen.finish()
  }
}
