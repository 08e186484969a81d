public import SWIO
public import SystemPackage

/// A raw endpoint: it moves bytes and knows no messages.
public protocol RawEndpoint: Endpoint {
  /// The directions it needs its descriptor for.
  static var directions: Readiness { get }
  /// Makes the endpoint; for the initialisers below, which are the way to get one.
  init(_ adopted: AdoptedTransport)
}

extension RawEndpoint {
  /// Takes over a descriptor, which is closed with the endpoint. Its flags are left alone: it may be
  /// shared with other processes, blocking or not.
  ///
  /// - Parameters:
  ///   - number: an open descriptor, readable or writable as needed. Adopt a number once.
  ///   - unread: bytes that come before whatever the descriptor gives: what `detach` handed back.
  ///   - mode: whether message endpoints over this one may read ahead. Raw receives never do.
  /// - Throws: ``EndpointError`` `transport` when it is not open, or not for the direction; it is then
  ///   still the caller's.
  public init(
    adopting number: Int32, unread: [UInt8] = [], mode: ReceiveMode = .readAhead
  ) throws(EndpointError) {
    self.init(
      AdoptedTransport(try EndpointCore(adopting: number, unread: unread, for: Self.directions, mode: mode)))
  }

  /// Takes over a descriptor; see `init(adopting:unread:mode:)`.
  public init(
    adopting descriptor: FileDescriptor, unread: [UInt8] = [], mode: ReceiveMode = .readAhead
  ) throws(EndpointError) {
    try self.init(adopting: descriptor.rawValue, unread: unread, mode: mode)
  }

  /// Takes over a descriptor, which is closed even when this throws.
  public init(
    adopting descriptor: consuming OwnedDescriptor, unread: [UInt8] = [], mode: ReceiveMode = .readAhead
  ) throws(EndpointError) {
    self.init(
      AdoptedTransport(
        try EndpointCore.adopting(descriptor, unread: unread, for: Self.directions, mode: mode)))
  }

  /// Duplicates a descriptor, which stays its owner's.
  public init(
    duplicating descriptor: FileDescriptor, mode: ReceiveMode = .readAhead
  ) throws(EndpointError) {
    self.init(AdoptedTransport(try EndpointCore.duplicating(descriptor, for: Self.directions, mode: mode)))
  }

  /// Takes over a transport of your own, which is closed with the endpoint.
  public init(transport: some SocketLike, mode: ReceiveMode = .readAhead) {
    self.init(AdoptedTransport(EndpointCore(transport, for: Self.directions, mode: mode)))
  }
}

// MARK: - The endpoints

/// Receives raw bytes from a pipe or a socket.
public final class SocketReader: RawEndpoint, ByteReceiving {
  public static var directions: Readiness { .readable }
  public let core: EndpointCore
  public var receivingSide: ByteReceivingSide { ByteReceivingSide(core) }

  package init(core: EndpointCore) { self.core = core }
  public convenience init(_ adopted: AdoptedTransport) { self.init(core: adopted.core) }

  /// The receiving direction of a duplex as an endpoint of its own. The duplex goes on to work: both share unread
  /// bytes and the order of callers.
  ///
  /// To close the reader ends receiving, for the duplex too, and nothing else: sending goes on. The descriptor is
  /// closed when both directions are closed, or when the last endpoint over it has gone, this one included.
  public convenience init(over duplex: SocketDuplex) { self.init(core: duplex.core.receivingPart) }
}

/// Sends raw bytes to a pipe or a socket.
public final class SocketWriter: RawEndpoint, ByteSending {
  public static var directions: Readiness { .writable }
  public let core: EndpointCore
  @inlinable public var sendingSide: SendingSide { SendingSide(core) }

  package init(core: EndpointCore) { self.core = core }
  public convenience init(_ adopted: AdoptedTransport) { self.init(core: adopted.core) }

  /// The sending direction of a duplex as an endpoint of its own. The duplex goes on to work: both share the order
  /// of callers.
  ///
  /// To close the writer ends sending, for the duplex too, and nothing else: receiving goes on. The peer is not told;
  /// ``SendingEndpoint/finishSending()`` tells it. The descriptor is closed when both directions are closed, or when
  /// the last endpoint over it has gone, this one included.
  public convenience init(over duplex: SocketDuplex) { self.init(core: duplex.core.sendingPart) }
}

/// Receives and sends raw bytes; both directions are independent of each other. For endpoints of their own over the
/// two directions see ``SocketReader/init(over:)`` and ``SocketWriter/init(over:)``.
public final class SocketDuplex: RawEndpoint, ByteReceiving, ByteSending {
  public static var directions: Readiness { [.readable, .writable] }
  public let core: EndpointCore
  public var receivingSide: ByteReceivingSide { ByteReceivingSide(core) }
  @inlinable public var sendingSide: SendingSide { SendingSide(core) }

  package init(core: EndpointCore) { self.core = core }
  public convenience init(_ adopted: AdoptedTransport) { self.init(core: adopted.core) }

  /// Takes over two descriptors, such as standard input and output. When it throws, both are still the
  /// caller's.
  public convenience init(
    reading: FileDescriptor, writing: FileDescriptor, unread: [UInt8] = [], mode: ReceiveMode = .readAhead
  ) throws(EndpointError) {
    self.init(
      core: try EndpointCore.adopting(reading: reading, writing: writing, unread: unread, mode: mode))
  }
}
