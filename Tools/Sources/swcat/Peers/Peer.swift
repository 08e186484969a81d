internal import SWMessaging
internal import SWMultiprocessing
internal import SystemPackage

#if canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// The settings for every connection of one run: limits, and reports.
struct Settings: Sendable {
  var maximumFrameSize = defaultMaximumFrameSize
  var authentication: Authentication?
  var timeout: Duration?
  var tee: Tee?
  /// Whether the tee gets the frames that pass, and not only the bytes that break the stream.
  var teesFrames = true
  var report = Report(isVerbose: false)
  var progress: Progress?
  /// Noted at each message.
  var activity: Activity?

  /// Whether the connections of a framing begin with the proof of a key.
  func authenticates(_ choice: FramingChoice) -> Bool { authentication != nil && choice.isOfMultiprocessing }

  /// The wire's framing of a choice.
  func framing(_ choice: FramingChoice) -> WireFraming {
    var base = choice.framing
    if let progress {
      base = AnyByteFraming(
        base.progress(
          received: { progress.update("received", $0, of: $1) },
          sent: { progress.update("sent", $0, of: $1) }))
    }
    return WireFraming(
      base: base, maximumFrameSize: maximumFrameSize, keepsFrames: tee != nil && teesFrames,
      remains: tee.map { _ in Remains() })
  }
}

/// The other side: a connection, or descriptors, with a framing.
final class Peer: Sendable {
  /// The peer's name in error messages.
  let name: String
  let choice: FramingChoice
  let settings: Settings
  private let incoming: MessageReader<WireFraming>?
  private let outgoing: MessageWriter<WireFraming>?
  /// The received bytes, for a command that reads no messages.
  private let bytes: SocketReader?
  private let isStandardInput: Bool
  private let isStandardOutput: Bool

  /// A connection.
  init(_ raw: SocketDuplex, named name: String, _ choice: FramingChoice, _ settings: Settings) {
    let duplex = MessageDuplex(
      over: raw, framing: settings.framing(choice), maximumFrameSize: settings.maximumFrameSize)
    self.name = name
    self.choice = choice
    self.settings = settings
    incoming = MessageReader(over: duplex)
    outgoing = MessageWriter(over: duplex)
    bytes = SocketReader(over: raw)
    (isStandardInput, isStandardOutput) = (false, false)
  }

  /// The channel of a child process.
  init(
    _ channel: MessageDuplex<WireFraming>, named name: String, _ choice: FramingChoice, _ settings: Settings
  ) {
    self.name = name
    self.choice = choice
    self.settings = settings
    incoming = MessageReader(over: channel)
    outgoing = MessageWriter(over: channel)
    bytes = nil
    (isStandardInput, isStandardOutput) = (false, false)
  }

  private init(
    named name: String, _ choice: FramingChoice, _ settings: Settings, reading reader: SocketReader?,
    writing writer: SocketWriter?, isStandardInput: Bool = false, isStandardOutput: Bool = false
  ) {
    let framing = settings.framing(choice)
    self.name = name
    self.choice = choice
    self.settings = settings
    incoming = reader.map {
      MessageReader(over: $0, framing: framing, maximumFrameSize: settings.maximumFrameSize)
    }
    outgoing = writer.map { MessageWriter(over: $0, framing: framing) }
    bytes = reader
    self.isStandardInput = isStandardInput
    self.isStandardOutput = isStandardOutput
  }

  /// Standard input alone, for `decode`.
  static func standardInput(
    _ choice: FramingChoice, _ settings: Settings, mode: ReceiveMode
  ) throws -> Peer {
    if StandardStreams.closedAtStart.contains(0) {
      throw Failure(.connection, "standard input: \(Errno.badFileDescriptor)")
    }
    do throws(EndpointError) {
      return Peer(
        named: "standard input", choice, settings,
        reading: try SocketReader(duplicating: .standardInput, mode: mode), writing: nil,
        isStandardInput: true)
    } catch {
      throw standardInputFailure(error)
    }
  }

  /// Standard output alone, for `encode`.
  static func standardOutput(_ choice: FramingChoice, _ settings: Settings) throws -> Peer {
    if StandardStreams.closedAtStart.contains(1) { throw OutputClosed() }
    do throws(EndpointError) {
      return Peer(
        named: "standard output", choice, settings, reading: nil,
        writing: try SocketWriter(duplicating: .standardOutput), isStandardOutput: true)
    } catch {
      throw Output.failure(error)
    }
  }

  private static func standardInputFailure(_ error: EndpointError) -> Failure {
    guard case .transport(let cause) = error.reason else {
      return Failure(.connection, "standard input: \(error)")
    }
    return Failure(.connection, "standard input: \(cause.errno)")
  }
}

// MARK: - Reaching it

extension Peer {
  /// The directions that a command needs.
  enum Use: Sendable {
    case receiving
    case sending
    case both
  }

  /// Connects to a service, or takes descriptors over.
  ///
  /// - Parameter mode: whether bytes behind a message may be read although another program may want them. A connection
  ///   belongs to this program alone.
  static func reach(
    _ address: PeerAddress, _ choice: FramingChoice, _ settings: Settings, for use: Use,
    mode: ReceiveMode = .readAhead
  ) async throws -> Peer {
    let peer =
      switch address {
      case .service(let service): try await connected(to: service, choice, settings)
      case .standardStreams: try await split(reading: 0, writing: 1, address, choice, settings, use, mode)
      case .descriptors(let reading, let writing):
        try await split(reading: reading, writing: writing, address, choice, settings, use, mode)
      }
    if let incoming = peer.incoming { Stop.shared.ends(incoming) }
    return peer
  }

  private static func connected(
    to address: Address, _ choice: FramingChoice, _ settings: Settings
  ) async throws -> Peer {
    let raw: SocketDuplex
    do throws(EndpointError) {
      raw = try await SWMessaging.connect(to: address, timeout: settings.timeout)
    } catch {
      if case .timedOut = error.reason {
        throw Failure(.timedOut, "cannot connect to \(address): timed out")
      }
      if case .transport(let cause) = error.reason, cause.errno == .connectionRefused, isNoSocket(address) {
        throw Failure(.connection, "\(error): there is something else than a socket at the path")
      }
      throw Failure(error, at: "\(address)")
    }
    let credentials = raw.credentialsOfPeer().map { ", \($0)" } ?? ""
    settings.report.note("connected to \(address)\(credentials)")
    try await authenticate(raw, as: .client, "\(address)", choice, settings)
    return Peer(raw, named: "\(address)", choice, settings)
  }

  /// Whether there is a file at the address that cannot be connected to. The kernel does not tell it from a service that has
  /// ended.
  private static func isNoSocket(_ address: Address) -> Bool {
    guard case .unix(let path) = address.kind else { return false }
    var status = stat()
    let result = unsafe path.withPlatformString { unsafe stat($0, &status) }
    return result == 0 && status.st_mode & S_IFMT != S_IFSOCK
  }

  /// Proves the key to each other, if there is one and the framing is one of multiprocessing's.
  static func authenticate(
    _ raw: SocketDuplex, as role: AuthenticationRole, _ name: String, _ choice: FramingChoice,
    _ settings: Settings
  ) async throws {
    guard let authentication = settings.authentication, settings.authenticates(choice) else { return }
    do throws(MultiprocessingError) {
      try await raw.authenticate(as: role, with: authentication, timeout: settings.timeout)
    } catch {
      if case .connection(let error) = error.reason {
        if case .cancelled = error.reason { throw Interrupted() }
        throw Failure(error, at: name)
      }
      guard case .authentication(let failure) = error.reason else {
        throw Failure(.connection, "\(name): \(error)")
      }
      let isLate = [.noChallenge, .noAnswer, .noVerdict].contains(failure.cause)
      throw Failure(isLate ? .timedOut : .connection, "\(name): \(failure)")
    }
    settings.report.note("\(name): authenticated")
  }

  private static func split(
    reading: Int32, writing: Int32, _ address: PeerAddress, _ choice: FramingChoice, _ settings: Settings,
    _ use: Use, _ mode: ReceiveMode
  ) async throws -> Peer {
    // A key is proved in both directions.
    let use = settings.authenticates(choice) ? .both : use
    for (number, isUsed) in [(reading, use != .sending), (writing, use != .receiving)]
    where isUsed && StandardStreams.closedAtStart.contains(number) {
      throw Failure(.connection, "\(address.subject): descriptor \(number) is not open")
    }
    let (input, output) = (PeerAddress.modes(of: reading), PeerAddress.modes(of: writing))
    if use != .sending, !input.reads {
      throw Failure(.connection, "\(address.subject): descriptor \(reading) is not open for reading")
    }
    if use != .receiving, !output.writes {
      throw Failure(.connection, "\(address.subject): descriptor \(writing) is not open for writing")
    }
    let needsBoth = use == .both || (reading == writing && input.reads && output.writes)
    let duplex: SocketDuplex?
    let reader: SocketReader?
    let writer: SocketWriter?
    do throws(EndpointError) {
      duplex = needsBoth ? try Self.duplex(reading, writing, mode) : nil
      reader =
        if let duplex { SocketReader(over: duplex) } else if use == .receiving {
          try SocketReader(adopting: descriptor(reading), mode: mode)
        } else { nil }
      writer =
        if let duplex { SocketWriter(over: duplex) } else if use == .sending {
          try SocketWriter(adopting: descriptor(writing))
        } else { nil }
    } catch {
      throw Failure(error, at: address.subject)
    }
    if let duplex { try await authenticate(duplex, as: .client, address.subject, choice, settings) }
    return Peer(
      named: address.subject, choice, settings, reading: reader, writing: writer,
      isStandardInput: reading == 0, isStandardOutput: writing == 1)
  }

  private static func duplex(
    _ reading: Int32, _ writing: Int32, _ mode: ReceiveMode
  ) throws(EndpointError) -> SocketDuplex {
    if reading == writing { return try SocketDuplex(adopting: descriptor(reading), mode: mode) }
    let input = try descriptor(reading)
    let output = try descriptor(writing)
    return try SocketDuplex(reading: input.release(), writing: output.release(), mode: mode)
  }

  /// The descriptor, to be taken over. Standard streams stay open, so no other file gets their numbers.
  private static func descriptor(_ number: Int32) throws(EndpointError) -> OwnedDescriptor {
    let descriptor = FileDescriptor(rawValue: number)
    if number > 2 { return OwnedDescriptor(adopting: descriptor) }
    do throws(TransportError) {
      return try OwnedDescriptor(duplicating: descriptor)
    } catch {
      throw EndpointError(.transport(error), subject: .descriptor(number))
    }
  }
}

// MARK: - Messages

extension Peer {
  /// The messages that come. Call it once.
  func inbox() throws -> Inbox {
    guard let incoming else { throw Failure(.connection, "\(name): cannot be read from") }
    return Inbox(peer: self, messages: Batches(Frames(incoming, of: isStandardInput ? nil : name)))
  }

  /// Receives messages until the end of the stream, or as many as are wanted. Messages that have arrived come together.
  func receive(_ quota: Quota, _ body: ([Message], Frames) async throws -> Void) async throws {
    var inbox = try inbox()
    while quota.left != 0, let batch = try await inbox.next(most: quota.left) {
      try await body(quota.take(batch), inbox.frames)
    }
  }

  /// Reports received messages.
  fileprivate func noteReceived(_ messages: [Message]) async throws {
    settings.activity?.note()
    if settings.report.isVerbose {
      for message in messages {
        settings.report.note("\(name): received a message of \(message.payload.count) bytes")
      }
    }
    if let tee = settings.tee, settings.teesFrames {
      try await tee.write(messages.reduce(into: []) { $0 += $1.frame ?? [] })
    }
  }

  /// Has the tee end with the bytes that broke the stream, if any did.
  fileprivate func noteBreak() async {
    guard let tee = settings.tee, let remains = incoming?.framing.remains?.take(), !remains.isEmpty else {
      return
    }
    do {
      try await tee.complete(with: remains)
    } catch {
      // The failure that ends the command is the stream's, not this one.
      if let failure = error as? Failure { complain(failure.message) }
    }
  }

  /// Sends messages, as few system calls as it takes.
  ///
  /// - Throws: ``Unsent``; ``OutputClosed``, ``Interrupted``.
  func send(_ payloads: [[UInt8]], passing descriptor: FileDescriptor? = nil) async throws {
    guard let outgoing, !payloads.isEmpty else { return }
    if let tee = settings.tee, settings.teesFrames {
      try await tee.write(payloads.reduce(into: []) { $0 += (try? outgoing.framing.frame(of: $1)) ?? [] })
    }
    do throws(EndpointError) {
      if let descriptor {
        try await outgoing.send(payloads[0], passing: [descriptor], timeout: settings.timeout)
      } else if payloads.count == 1 {
        try await outgoing.send(payloads[0], timeout: settings.timeout)
      } else {
        try await outgoing.send(contentsOf: payloads, timeout: settings.timeout)
      }
    } catch {
      throw explained(sending: error)
    }
    settings.activity?.note()
    if settings.report.isVerbose {
      for payload in payloads { settings.report.note("\(name): sent a message of \(payload.count) bytes") }
    }
  }

  private func explained(sending error: EndpointError) -> any Error {
    switch error.reason {
    case .framing(let cause):
      return Unsent(
        index: error.messageCount,
        text:
          "the message cannot be sent in this framing, from its byte \(cause.offset) on: \(cause.expectation)"
      )
    case .codec(let cause as Misread):
      return Unsent(index: error.messageCount, text: "expected \(cause.expected); found \(cause.found)")
    case .cancelled: return Interrupted()
    case .timedOut:
      return Failure(
        .timedOut, "\(name): timed out: the peer takes no more\(error.isCommitted ? ", inside a frame" : "")")
    default: return isStandardOutput ? Output.failure(error) : Failure(error, at: name)
    }
  }

  /// Half-closes: the peer sees the end after everything that was sent.
  func finishSending() { outgoing?.finishSending() }

  /// Reads and drops bytes, until the peer ends or resets the connection.
  func drop() async throws {
    guard let bytes else { return }
    do throws(EndpointError) {
      while true { _ = try await bytes.receive() }
    } catch {
      switch error.reason {
      case .endOfStream, .closed, .cancelled: return
      default: throw Failure(error, at: name)
      }
    }
  }
}

/// The messages from a peer.
struct Inbox {
  let peer: Peer
  fileprivate var messages: Batches<Frames>

  /// Where the messages stand in the stream.
  var frames: Frames { messages.source }

  /// Waits for a message, and takes it with the messages that have arrived behind it. Nil at the end of the stream.
  ///
  /// - Parameters:
  /// - most: the most messages to take.
  ///   - timeout: how long to wait.
  mutating func next(most: Int? = nil, timeout: Duration? = nil) async throws -> [Message]? {
    do {
      guard let batch = try await messages.next(most: most, until: .after(timeout)) else { return nil }
      try await peer.noteReceived(batch)
      return batch
    } catch {
      await peer.noteBreak()
      throw error
    }
  }
}

/// A message that cannot be sent in the framing. The messages before it have been sent.
struct Unsent: Error {
  /// The message's index among the messages of the call.
  let index: Int
  let text: String

  /// The failure, with the message's place in the input.
  func failure(at place: String) -> Failure { Failure(.broken, "\(place): \(text)") }
}

extension Failure {
  /// - Parameter name: the peer's name.
  init(_ error: EndpointError, at name: String) {
    let text = "\(error)"
    let message = text.contains(name) ? text : "\(name): \(text)"
    switch error.reason {
    case .timedOut: self.init(.timedOut, message)
    case .truncated: self.init(.truncated, message)
    case .framing, .codec: self.init(.broken, message)
    default: self.init(.connection, message)
    }
  }
}
