public import SWFraming
public import SWIO
public import SystemPackage

/// A message endpoint: a framing over a descriptor, a transport, or a raw endpoint.
public protocol MessageEndpoint<F>: Endpoint {
  associatedtype F: Framing
  /// The directions it needs its descriptor for.
  static var directions: Readiness { get }
  /// The form of messages on the wire.
  var framing: F { get }
  /// Makes the endpoint; for the initialisers below, which are the way to get one.
  init(_ adopted: AdoptedTransport, framing: F, maximumFrameSize: Int)
}

/// The largest frame that an endpoint receives unless it is told otherwise: 1 GiB.
public var defaultMaximumFrameSize: Int { 1 << 30 }

extension MessageEndpoint {
  /// Takes over a descriptor, which is closed with the endpoint. Its flags are left alone: it may be
  /// shared with other processes, blocking or not.
  ///
  /// - Parameters:
  ///   - number: an open descriptor, readable or writable as needed. Adopt a number once.
  ///   - unread: bytes that come before whatever the descriptor gives: what `detach` handed back.
  ///   - framing: how messages lie in the stream.
  ///   - mode: whether to read ahead.
  ///   - maximumFrameSize: the largest frame to receive, in bytes, header included; a larger one is a
  ///     ``FramingError`` before anything is reserved for it.
  /// - Throws: ``EndpointError`` `transport` when it is not open, or not for the direction; it is then
  ///   still the caller's.
  public init(
    adopting number: Int32, unread: [UInt8] = [], framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) {
    let core = try EndpointCore(adopting: number, unread: unread, for: Self.directions, mode: mode)
    self.init(AdoptedTransport(core), framing: framing, maximumFrameSize: maximumFrameSize)
  }

  /// Takes over a descriptor; see `init(adopting:unread:framing:mode:maximumFrameSize:)`.
  public init(
    adopting descriptor: FileDescriptor, unread: [UInt8] = [], framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) {
    try self.init(
      adopting: descriptor.rawValue, unread: unread, framing: framing, mode: mode,
      maximumFrameSize: maximumFrameSize)
  }

  /// Takes over a descriptor, which is closed even when this throws.
  public init(
    adopting descriptor: consuming OwnedDescriptor, unread: [UInt8] = [], framing: F,
    mode: ReceiveMode = .readAhead, maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) {
    let core = try EndpointCore.adopting(descriptor, unread: unread, for: Self.directions, mode: mode)
    self.init(AdoptedTransport(core), framing: framing, maximumFrameSize: maximumFrameSize)
  }

  /// Duplicates a descriptor, which stays its owner's.
  public init(
    duplicating descriptor: FileDescriptor, framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) {
    let core = try EndpointCore.duplicating(descriptor, for: Self.directions, mode: mode)
    self.init(AdoptedTransport(core), framing: framing, maximumFrameSize: maximumFrameSize)
  }

  /// Takes over a transport of your own, which is closed with the endpoint.
  public init(
    transport: some SocketLike, framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) {
    let core = EndpointCore(transport, for: Self.directions, mode: mode)
    self.init(AdoptedTransport(core), framing: framing, maximumFrameSize: maximumFrameSize)
  }
}

// MARK: - The endpoints

/// Receives messages from a pipe or a socket.
public final class MessageReader<F: Framing>: MessageReceiving {
  public static var directions: Readiness { .readable }
  public let core: EndpointCore
  public let framing: F
  public let receivingSide: ReceivingSide<F>

  private init(core: EndpointCore, _ side: ReceivingSide<F>) {
    self.core = core
    framing = side.source.framing
    receivingSide = side
  }

  /// - Parameter mode: nil for the mode of the core.
  package convenience init(
    core: EndpointCore, framing: F, mode: ReceiveMode? = nil, maximumFrameSize: Int = defaultMaximumFrameSize
  ) {
    self.init(core: core, ReceivingSide(core, framing, mode ?? core.mode, maximumFrameSize))
  }

  public convenience init(_ adopted: AdoptedTransport, framing: F, maximumFrameSize: Int) {
    self.init(core: adopted.core, framing: framing, maximumFrameSize: maximumFrameSize)
  }

  /// Receives messages over a raw endpoint, which goes on to work: both share the descriptor, its unread
  /// bytes, its mode of reading and the order of callers.
  public convenience init(
    over raw: SocketReader, framing: F, maximumFrameSize: Int = defaultMaximumFrameSize
  ) {
    self.init(core: raw.core, framing: framing, maximumFrameSize: maximumFrameSize)
  }

  /// Receives messages over the receiving direction of a raw duplex, which goes on to work. See
  /// ``init(over:)-(MessageDuplex<F>)``.
  public convenience init(
    over raw: SocketDuplex, framing: F, maximumFrameSize: Int = defaultMaximumFrameSize
  ) {
    self.init(core: raw.core.receivingPart, framing: framing, maximumFrameSize: maximumFrameSize)
  }

  /// The receiving direction of a duplex as an endpoint of its own. The duplex goes on to work: both share unread
  /// bytes, framing, limits and the order of callers.
  ///
  /// To close the reader ends receiving, for the duplex too, and nothing else: sending goes on. The descriptor is
  /// closed when both directions are closed, or when the last endpoint over it has gone, this one included.
  public convenience init(over duplex: MessageDuplex<F>) {
    self.init(core: duplex.core.receivingPart, duplex.receivingSide)
  }
}

extension MessageReader where F == VarIntFraming {
  /// Receives varint-framed messages over a raw endpoint.
  public convenience init(over raw: SocketReader) { self.init(over: raw, framing: .varInt) }

  /// Receives varint-framed messages over the receiving direction of a raw duplex.
  public convenience init(over raw: SocketDuplex) { self.init(over: raw, framing: .varInt) }
}

/// Sends messages to a pipe or a socket.
public final class MessageWriter<F: Framing>: MessageSending {
  public static var directions: Readiness { .writable }
  public let core: EndpointCore
  public let framing: F
  @inlinable public var sendingSide: SendingSide { SendingSide(core) }

  package init(core: EndpointCore, framing: F) {
    self.core = core
    self.framing = framing
  }

  /// - Parameter maximumFrameSize: without effect: it is for receiving.
  public convenience init(_ adopted: AdoptedTransport, framing: F, maximumFrameSize: Int) {
    self.init(core: adopted.core, framing: framing)
  }

  /// Sends messages over a raw endpoint, which goes on to work.
  public convenience init(over raw: SocketWriter, framing: F) { self.init(core: raw.core, framing: framing) }

  /// Sends messages over the sending direction of a raw duplex, which goes on to work. See
  /// ``init(over:)-(MessageDuplex<F>)``.
  public convenience init(over raw: SocketDuplex, framing: F) {
    self.init(core: raw.core.sendingPart, framing: framing)
  }

  /// The sending direction of a duplex as an endpoint of its own. The duplex goes on to work: both share the order
  /// of callers.
  ///
  /// To close the writer ends sending, for the duplex too, and nothing else: receiving goes on. The peer is not told;
  /// ``SendingEndpoint/finishSending()`` tells it. The descriptor is closed when both directions are closed, or when
  /// the last endpoint over it has gone, this one included.
  public convenience init(over duplex: MessageDuplex<F>) {
    self.init(core: duplex.core.sendingPart, framing: duplex.framing)
  }
}

extension MessageWriter where F == VarIntFraming {
  /// Sends varint-framed messages over a raw endpoint.
  public convenience init(over raw: SocketWriter) { self.init(over: raw, framing: .varInt) }

  /// Sends varint-framed messages over the sending direction of a raw duplex.
  public convenience init(over raw: SocketDuplex) { self.init(over: raw, framing: .varInt) }
}

/// Receives and sends messages; both directions are independent of each other. For endpoints of their own over the
/// two directions see ``MessageReader/init(over:)-(MessageDuplex<F>)`` and
/// ``MessageWriter/init(over:)-(MessageDuplex<F>)``.
public final class MessageDuplex<F: Framing>: MessageReceiving, MessageSending {
  public static var directions: Readiness { [.readable, .writable] }
  public let core: EndpointCore
  public let framing: F
  public let receivingSide: ReceivingSide<F>
  @inlinable public var sendingSide: SendingSide { SendingSide(core) }

  /// - Parameter mode: nil for the mode of the core.
  package init(
    core: EndpointCore, framing: F, mode: ReceiveMode? = nil, maximumFrameSize: Int = defaultMaximumFrameSize
  ) {
    self.core = core
    self.framing = framing
    receivingSide = ReceivingSide(core, framing, mode ?? core.mode, maximumFrameSize)
  }

  public convenience init(_ adopted: AdoptedTransport, framing: F, maximumFrameSize: Int) {
    self.init(core: adopted.core, framing: framing, maximumFrameSize: maximumFrameSize)
  }

  /// Messages over a raw endpoint, which goes on to work: both share the descriptor, its unread bytes, its mode of
  /// reading and the order of callers.
  public convenience init(
    over raw: SocketDuplex, framing: F, maximumFrameSize: Int = defaultMaximumFrameSize
  ) {
    self.init(core: raw.core, framing: framing, maximumFrameSize: maximumFrameSize)
  }

  /// Takes over two descriptors, such as standard input and output. When it throws, both are still the
  /// caller's.
  public convenience init(
    reading: FileDescriptor, writing: FileDescriptor, unread: [UInt8] = [], framing: F,
    mode: ReceiveMode = .readAhead, maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) {
    self.init(
      core: try EndpointCore.adopting(reading: reading, writing: writing, unread: unread, mode: mode),
      framing: framing, maximumFrameSize: maximumFrameSize)
  }
}

extension MessageDuplex where F == VarIntFraming {
  /// Varint-framed messages over a raw endpoint.
  public convenience init(over raw: SocketDuplex) { self.init(over: raw, framing: .varInt) }
}
