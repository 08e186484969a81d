public import SWFraming
public import SWIO
internal import SystemPackage

/// Why a call on an endpoint ended without its result, and how much had arrived or gone.
public struct EndpointError: Error, Sendable {
  @nonexhaustive
  public enum Reason: Sendable {
    /// The peer ended the stream between two messages: nothing is missing.
    case endOfStream
    /// The peer ended the stream inside a message; ``EndpointError/partialBytes`` has what came of it.
    case truncated
    /// The deadline passed. Bytes that had arrived stay with the endpoint for the next receive; a send says
    /// in ``EndpointError/isCommitted`` whether its message will still go out whole.
    case timedOut
    /// The task was cancelled; otherwise like `timedOut`.
    case cancelled
    /// This endpoint was closed, detached, or (for a send) told to finish sending.
    case closed
    /// The endpoint is in use, so it cannot be detached.
    case busy
    /// The endpoint has received datagrams that no receive has returned, and unread bytes cannot say where one ends,
    /// nor who sent it: they are to be received before it can be detached.
    case unreadDatagrams
    /// The endpoint has received descriptors with bytes that no receive has returned, and unread bytes cannot bring them:
    /// their messages are to be received before it can be detached.
    case unreadDescriptors
    /// The transport failed. The error's ``TransportError/scope`` says for how long: of one item, and later calls go on;
    /// or for good, and every later call in that direction throws the same.
    case transport(TransportError)
    /// The peer broke the framing (it stays broken), or the message cannot be sent in it.
    case framing(FramingError)
    /// The framing could not make a message of a whole frame, or a frame of a message. The frame is
    /// consumed, or nothing was sent; the stream goes on.
    case codec(any Error)
    /// The address cannot be used: it is not valid.
    case address(AddressError)
  }

  /// The object of a failed operation, as text.
  @nonexhaustive
  public enum Subject: Hashable, Sendable {
    /// The program that was to be started, as it was given.
    case program(String)
    /// The environment variable that was to name a descriptor.
    case environmentVariable(String)
    /// The address that was to be reached or used.
    case address(SocketAddress)
    /// The address of the service that was to be reached or provided.
    case service(Address)
    /// The descriptor that was to be taken over.
    case descriptor(Int32)
  }

  /// Why the call ended.
  public var reason: Reason {
    get { content.fields.reason }
    set { change { $0.reason = newValue.withScope } }
  }

  /// Receiving: how many bytes of an unfinished message the endpoint holds for the next receive.
  /// Sending: how many bytes of the message, header included, the transport has accepted.
  public var byteCount: Int {
    get { content.fields.byteCount }
    set { change { $0.byteCount = newValue } }
  }

  /// The bytes of a message that the end of the stream, or a transport's failure, cut off; header
  /// included. Empty otherwise.
  public var partialBytes: [UInt8] {
    get { content.fields.partialBytes }
    set { change { $0.partialBytes = newValue } }
  }

  /// The first bytes of this message have gone out and the endpoint goes on sending the rest, ahead of
  /// any later message: it must not be sent again.
  public var isCommitted: Bool {
    get { content.fields.isCommitted }
    set { change { $0.isCommitted = newValue } }
  }

  /// `send(contentsOf:)`: how many whole messages have been accepted, or are committed.
  public var messageCount: Int {
    get { content.fields.messageCount }
    set { change { $0.messageCount = newValue } }
  }

  /// The object of the operation: a program, an environment variable, an address or a descriptor. It is nil if the call
  /// itself says it.
  public var subject: Subject? {
    get { content.fields.subject }
    set { change { $0.subject = newValue } }
  }

  /// A text for people that names the program, variable, file or descriptor, if it is known. Otherwise empty.
  public var explanation: String {
    get { content.fields.explanation }
    set { change { $0.explanation = newValue } }
  }

  public init(
    _ reason: Reason, byteCount: Int = 0, partialBytes: [UInt8] = [], isCommitted: Bool = false,
    messageCount: Int = 0, subject: Subject? = nil, explanation: String = ""
  ) {
    content = Content(
      Fields(
        reason: reason.withScope, byteCount: byteCount, partialBytes: partialBytes, isCommitted: isCommitted,
        messageCount: messageCount, subject: subject,
        explanation: explanation))
  }

  /// The error of a message that cannot be sent in its framing.
  @usableFromInline
  init(sending error: FramingError) {
    self.init(.framing(error))
    change { $0.isAboutSending = true }
  }

  /// The error of a message that cannot be encoded.
  @usableFromInline
  init(encoding error: any Error) {
    self.init((error as? FramingError).map { .framing($0) } ?? .codec(error))
    change { $0.isAboutSending = true }
  }

  /// Returns the same error, with the object that it concerns.
  func about(_ subject: Subject) -> EndpointError {
    var error = self
    error.subject = subject
    return error
  }

  private struct Fields: Sendable {
    var reason: Reason
    var byteCount: Int
    var partialBytes: [UInt8]
    var isCommitted: Bool
    var messageCount: Int
    var subject: Subject?
    var explanation: String
    /// Whether a message was to be sent and not received. Only the text differs.
    var isAboutSending = false
  }

  /// The contents are one pointer, so results that may hold an error stay small.
  private final class Content: Sendable {
    let fields: Fields
    init(_ fields: Fields) { self.fields = fields }
  }

  private var content: Content

  private mutating func change(_ body: (inout Fields) -> Void) {
    var fields = content.fields
    body(&fields)
    content = Content(fields)
  }
}

extension EndpointError.Reason {
  /// The same reason. A transport's error for which nobody has stated a scope concerns one call.
  fileprivate var withScope: Self {
    guard case .transport(var error) = self, error.scope == nil else { return self }
    error.scope = .item
    return .transport(error)
  }
}

extension EndpointError.Reason: Equatable {
  /// Codec errors are equal when they read alike: they can be of any type.
  public static func == (a: Self, b: Self) -> Bool {
    switch (a, b) {
    case (.endOfStream, .endOfStream), (.truncated, .truncated), (.timedOut, .timedOut),
      (.cancelled, .cancelled), (.closed, .closed), (.busy, .busy), (.unreadDatagrams, .unreadDatagrams),
      (.unreadDescriptors, .unreadDescriptors):
      true
    case (.transport(let a), .transport(let b)): a == b
    case (.framing(let a), .framing(let b)): a == b
    case (.address(let a), .address(let b)): a == b
    case (.codec(let a), .codec(let b)): String(reflecting: a) == String(reflecting: b)
    default: false
    }
  }
}

extension EndpointError: CustomStringConvertible {
  /// The error on one line, for people and logs. Of the text of a codec's or framing's error, at most 2,000 characters are
  /// shown, and control characters in it are escaped, because the peer may have chosen them.
  public var description: String {
    var text = what
    if !explanation.isEmpty { text += ": \(explanation)" }
    switch reason {
    case .timedOut, .cancelled, .closed, .transport:
      if byteCount > 0 { text += " after \(Self.count(byteCount, "byte")) of a message" }
    case .endOfStream, .truncated, .busy, .unreadDatagrams, .unreadDescriptors, .framing, .codec,
      .address:
      break
    }
    if isCommitted { text += "; the rest of it will be sent" }
    // A committed message is counted in `messageCount`, but it is not before itself.
    let before = messageCount - (isCommitted ? 1 : 0)
    if before > 0 { text += "; \(Self.count(before, "message")) before" }
    return text
  }

  private var what: String {
    switch reason {
    case .endOfStream: "end of stream"
    case .truncated: "the stream ended after \(Self.count(partialBytes.count, "byte")) of a message"
    case .timedOut: at("timed out")
    case .cancelled: at("cancelled")
    case .closed: closed
    case .address(let error): error.description
    case .busy: busy
    case .unreadDatagrams: "cannot detach: datagrams have been received that no receive has returned"
    case .unreadDescriptors: "cannot detach: descriptors have been received that no receive has returned"
    case .transport(let error): text(of: error)
    case .framing(let error):
      content.fields.isAboutSending
        ? "cannot send the message: \(Self.shown(error))" : "the peer broke the framing: \(Self.shown(error))"
    case .codec(let error):
      "cannot \(content.fields.isAboutSending ? "encode" : "decode") the message: \(Self.shown(error))"
    }
  }

  /// The text for a service, where the error is about the connection that took too long or was cancelled.
  private func at(_ text: String) -> String {
    guard case .service(let address)? = subject else { return text }
    return "\(text) at \(address)"
  }

  private var closed: String {
    guard case .service(let address)? = subject else { return "the endpoint is closed" }
    return "the listener at \(address) is closed"
  }

  private var busy: String {
    guard case .environmentVariable(let name)? = subject else {
      return "cannot detach: the endpoint is in use"
    }
    return "the descriptor that the environment variable \(name) names has been taken over already"
  }

  private func text(of error: TransportError) -> String {
    switch subject {
    case nil: error.description
    case .program(let name): error.description(object: "the program '\(name)'")
    case .address(let address): error.description(object: "to \(address)")
    case .service(let address): error.description(at: address.description)
    case .descriptor(let number): error.description(object: "descriptor \(number)")
    case .environmentVariable(let name) where error.errno == .noSuchFileOrDirectory:
      "the environment variable \(name) is not set"
    case .environmentVariable(let name) where error.errno == .invalidArgument && name.hasPrefix("LISTEN_"):
      "the environment variable \(name) is not valid"
    case .environmentVariable(let name) where error.errno == .invalidArgument:
      "the environment variable \(name) does not hold the number of a descriptor"
    case .environmentVariable(let name):
      error.description(object: "the descriptor that the environment variable \(name) names")
    }
  }

  private static func shown(_ error: any Error) -> String { "\(error)".shown(upTo: 2000) }

  private static func count(_ number: Int, _ noun: String) -> String {
    number == 1 ? "1 \(noun)" : "\(number) \(noun)s"
  }
}
