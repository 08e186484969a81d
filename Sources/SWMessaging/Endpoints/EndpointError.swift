public import SWFraming
public import SWIO

/// Why a call on an endpoint ended without its result, and how much had arrived or gone.
public struct EndpointError: Error, Sendable {
  public enum Reason: Sendable {
    /// The peer ended the stream between two messages: nothing is missing.
    case endOfStream
    /// The peer ended the stream inside a message; ``EndpointError/partialBytes`` has what came of it.
    case truncated
    /// The deadline passed. What had arrived stays with the endpoint for the next receive; a send says
    /// in ``EndpointError/isCommitted`` whether its message will still go out whole.
    case timedOut
    /// The task was cancelled; otherwise like `timedOut`.
    case cancelled
    /// This endpoint was closed, detached, or (for a send) told to finish sending.
    case closed
    /// The endpoint is in use, so it cannot be detached.
    case busy
    /// The endpoint has received datagrams that nobody has taken, and unread bytes cannot say where one ends, nor who
    /// sent it: they are to be received before it can be detached.
    case unreadDatagrams
    /// The transport failed. Every later call in that direction throws the same.
    case transport(TransportError)
    /// The peer broke the framing (it stays broken), or the message cannot be sent in it.
    case framing(FramingError)
    /// The framing could not make a message of a whole frame, or a frame of a message. The frame is
    /// consumed, or nothing was sent; the stream goes on.
    case codec(any Error)
  }

  public var reason: Reason {
    get { content.fields.reason }
    set { change { $0.reason = newValue } }
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

  /// For people: the program, variable, file or descriptor that the operation was about, where that is known. Empty
  /// otherwise.
  public var explanation: String {
    get { content.fields.explanation }
    set { change { $0.explanation = newValue } }
  }

  public init(
    _ reason: Reason, byteCount: Int = 0, partialBytes: [UInt8] = [], isCommitted: Bool = false,
    messageCount: Int = 0, explanation: String = ""
  ) {
    content = Content(
      Fields(
        reason: reason, byteCount: byteCount, partialBytes: partialBytes, isCommitted: isCommitted,
        messageCount: messageCount, explanation: explanation))
  }

  private struct Fields: Sendable {
    var reason: Reason
    var byteCount: Int
    var partialBytes: [UInt8]
    var isCommitted: Bool
    var messageCount: Int
    var explanation: String
  }

  /// One pointer, so that results which may be an error stay small where there is none.
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

extension EndpointError.Reason: Equatable {
  /// Codec errors are equal when they read alike: they can be of any type.
  public static func == (a: Self, b: Self) -> Bool {
    switch (a, b) {
    case (.endOfStream, .endOfStream), (.truncated, .truncated), (.timedOut, .timedOut),
      (.cancelled, .cancelled), (.closed, .closed), (.busy, .busy), (.unreadDatagrams, .unreadDatagrams):
      true
    case (.transport(let a), .transport(let b)): a == b
    case (.framing(let a), .framing(let b)): a == b
    case (.codec(let a), .codec(let b)): String(reflecting: a) == String(reflecting: b)
    default: false
    }
  }
}

extension EndpointError: CustomStringConvertible {
  public var description: String {
    var text =
      switch reason {
      case .endOfStream: "end of stream"
      case .truncated: "the stream ended inside a message, \(partialBytes.count) bytes into it"
      case .timedOut: "timed out"
      case .cancelled: "cancelled"
      case .closed: "endpoint closed"
      case .busy: "endpoint in use"
      case .unreadDatagrams: "datagrams have been received that nobody has taken"
      case .transport(let error): "transport failed: \(error)"
      case .framing(let error): "framing broken: \(error)"
      case .codec(let error): "message not understood: \(error)"
      }
    if !explanation.isEmpty { text += ": \(explanation)" }
    if byteCount > 0 { text += " (\(byteCount) bytes of the message so far)" }
    if isCommitted { text += "; committed: the rest is sent in the background" }
    return text
  }
}
