public import SWIO
internal import Synchronization
public import SystemPackage

/// The connection behind one or several endpoints. Opaque: it has no members, and no initialiser takes one.
public final class EndpointCore: Sendable {
  package let receiving: ReceiveHalf?
  @usableFromInline package let sending: SendHalf?
  private let origin: Origin

  /// Where the core comes from. It takes one word, like each of the two references above.
  private enum Origin: Sendable {
    case readsAhead, readsExactly
    /// One direction of another core, which owns the descriptor.
    case part(of: EndpointCore)
  }

  package init(receiving: ReceiveHalf?, sending: SendHalf?, mode: ReceiveMode = .readAhead) {
    self.receiving = receiving
    self.sending = sending
    origin = mode == .exact ? .readsExactly : .readsAhead
  }

  private init(receiving: ReceiveHalf?, sending: SendHalf?, of whole: EndpointCore) {
    self.receiving = receiving
    self.sending = sending
    origin = .part(of: whole)
  }

  deinit {
    // A part retains the whole core, which closes both directions when the last endpoint over either direction is gone.
    if case .part = origin { return }
    close()
  }

  /// Takes over a descriptor for these directions. If it throws, the caller still owns the descriptor.
  package convenience init(
    adopting number: Int32, unread: [UInt8] = [], for directions: Readiness, mode: ReceiveMode = .readAhead,
    reactor: any Reacting = Reactor.shared
  ) throws(EndpointError) {
    do throws(TransportError) {
      self.init(
        try Port(number, for: directions, reactor: reactor), unread: unread, for: directions, mode: mode)
    } catch {
      throw EndpointError(.transport(error), subject: .descriptor(number))
    }
  }

  /// Takes over a socket that was accepted or connected.
  package convenience init(
    connected descriptor: consuming OwnedDescriptor, _ kind: ConnectionKind, isUnix: Bool, mode: ReceiveMode,
    reactor: any Reacting = Reactor.shared
  ) throws(EndpointError) {
    let number = descriptor.withDescriptor { $0.rawValue }
    let transport: any DescriptorTransport
    do throws(TransportError) {
      transport = try makeTransport(connected: number, kind, isUnix: isUnix)
    } catch {
      throw EndpointError(.transport(error))
    }
    _ = descriptor.release()
    self.init(
      Port(connected: transport, reactor: reactor), unread: [], for: [.readable, .writable], mode: mode)
  }

  /// Takes over a datagram socket that is bound to an address.
  ///
  /// - Parameter willClose: called before the descriptor is closed, to give up the name.
  convenience init(
    datagrams descriptor: consuming OwnedDescriptor, willClose: (@Sendable () -> Void)?
  ) throws(TransportError) {
    let number = descriptor.withDescriptor { $0.rawValue }
    let transport = try DatagramSocket(number, isPacket: false, isSole: true, willClose: willClose)
    _ = descriptor.release()
    self.init(
      Port(connected: transport, reactor: Reactor.shared), unread: [], for: [.readable, .writable])
  }

  /// Takes over a transport.
  package convenience init(
    _ transport: some SocketLike, for directions: Readiness, mode: ReceiveMode = .readAhead,
    reactor: any Reacting = Reactor.shared
  ) {
    self.init(
      Port(transport, for: directions, reactor: reactor), unread: [], for: directions, mode: mode)
  }

  private convenience init(
    _ port: Port, unread: [UInt8], for directions: Readiness, mode: ReceiveMode = .readAhead
  ) {
    self.init(
      receiving: directions.contains(.readable) ? ReceiveHalf(port, unread: unread) : nil,
      sending: directions.contains(.writable) ? SendHalf(port) : nil, mode: mode)
  }

  /// How all endpoints over this core read the descriptor.
  package var mode: ReceiveMode {
    switch origin {
    case .readsAhead: .readAhead
    case .readsExactly: .exact
    case .part(let whole): whole.mode
    }
  }

  /// The directions that this end has. Receiving comes first.
  var halves: [Half] { [receiving as Half?, sending].compactMap { $0 } }

  // MARK: The directions by themselves

  private var whole: EndpointCore {
    if case .part(let whole) = origin { return whole }
    return self
  }

  /// The receiving direction alone.
  var receivingPart: EndpointCore { EndpointCore(receiving: receiving, sending: nil, of: whole) }

  /// The sending direction alone.
  var sendingPart: EndpointCore { EndpointCore(receiving: nil, sending: sending, of: whole) }

  /// Notes that this process alone has the descriptors.
  func noteSole() {
    receiving?.port.noteSole()
    sending?.port.noteSole()
  }
  /// Notes that other code may copy the descriptors, or another process may have them.
  func noteShared() {
    receiving?.port.noteShared()
    sending?.port.noteShared()
  }

  // MARK: The end

  func close() {
    receiving?.close()
    sending?.close()
  }

  /// Closes, and calls `done` when no descriptor is left: perhaps on another thread, as closing one can take long.
  package func close(then done: @escaping @Sendable () -> Void) {
    close()
    let ports = (receiving?.port, sending?.port)
    let first = ports.0 ?? ports.1
    guard let first else { return done() }
    guard let second = ports.1, second !== first else { return first.whenGone(done) }
    first.whenGone { second.whenGone(done) }
  }

  /// Gives the descriptors up without closing them, if no caller uses them.
  func detach() throws(EndpointError) -> DetachedEndpoint {
    // Only the user can take a user's transport apart.
    if halves.contains(where: { !$0.port.isDetachable }) {
      throw EndpointError(.transport(TransportError(.detach, .notSupported)))
    }
    // The other direction of the same descriptor may be in use, until it is closed and its callers have left.
    if case .part(let whole) = origin, let half = halves.first,
      let other = half is ReceiveHalf ? whole.sending : whole.receiving as Half?,
      other.port === half.port, !other.inspect({ $0.isOut })
    {
      throw EndpointError(isClosed ? .closed : .busy)
    }
    // A closed direction has given up its descriptor, or its part of one, as soon as its callers have left.
    let inside = halves.filter { half in half.inspect { !$0.isOut } }
    guard !isClosed, let first = inside.first else { throw EndpointError(.closed) }
    for half in inside { half.awaitEndOfAttempt() }
    if let refusal = Half.retire(first, inside.count > 1 ? inside[1] : nil) {
      throw EndpointError(refusal == .closed && !isClosed ? .busy : refusal)
    }
    var unread: [UInt8] = []
    if let receiving, first === receiving {
      unread = unsafe receiving.turn.takeUnread() + receiving.port.takeUnread()
    }
    var numbers: [Int32] = []
    var seen: Port?
    for half in inside where half.port !== seen {
      seen = half.port
      guard let number = half.port.detach() else {
        preconditionFailure("a transport without a descriptor cannot be detached")
      }
      numbers.append(number)
    }
    return DetachedEndpoint(
      descriptor: OwnedDescriptor(adopting: FileDescriptor(rawValue: numbers[0])),
      sendingDescriptor: numbers.count > 1
        ? OwnedDescriptor(adopting: FileDescriptor(rawValue: numbers[1])) : nil,
      unread: unread)
  }

  var isClosed: Bool {
    (receiving?.inspect { $0.isClosed } ?? true) && (sending?.inspect { $0.isClosed } ?? true)
  }
}

extension EndpointCore {
  static func adopting(
    _ descriptor: consuming OwnedDescriptor, unread: [UInt8], for directions: Readiness,
    mode: ReceiveMode = .readAhead
  ) throws(EndpointError) -> EndpointCore {
    let number = descriptor.withDescriptor { $0.rawValue }
    let core = try EndpointCore(adopting: number, unread: unread, for: directions, mode: mode)
    _ = descriptor.release()
    return core
  }

  static func duplicating(
    _ descriptor: FileDescriptor, for directions: Readiness, mode: ReceiveMode
  ) throws(EndpointError) -> EndpointCore {
    let copy: OwnedDescriptor
    do throws(TransportError) {
      copy = try OwnedDescriptor(duplicating: descriptor)
    } catch {
      throw EndpointError(.transport(error), subject: .descriptor(descriptor.rawValue))
    }
    return try adopting(copy, unread: [], for: directions, mode: mode)
  }

  /// Makes a duplex endpoint over two descriptors.
  static func adopting(
    reading: FileDescriptor, writing: FileDescriptor, unread: [UInt8], mode: ReceiveMode = .readAhead
  ) throws(EndpointError) -> EndpointCore {
    // Two ports over one number would close it twice, and the second close could hit an unrelated descriptor.
    if reading == writing {
      return try EndpointCore(
        adopting: reading.rawValue, unread: unread, for: [.readable, .writable], mode: mode)
    }
    let receiving = ReceiveHalf(try port(reading, for: .readable), unread: unread)
    do throws(EndpointError) {
      let sending = SendHalf(try port(writing, for: .writable))
      return EndpointCore(receiving: receiving, sending: sending, mode: mode)
    } catch {
      // The caller keeps both descriptors.
      if Half.retire(receiving, nil) == nil { _ = receiving.port.detach() }
      throw error
    }
  }

  private static func port(
    _ descriptor: FileDescriptor, for direction: Readiness
  ) throws(EndpointError) -> Port {
    do throws(TransportError) {
      return try Port(descriptor.rawValue, for: direction, reactor: Reactor.shared)
    } catch {
      throw EndpointError(.transport(error), subject: .descriptor(descriptor.rawValue))
    }
  }
}

/// A descriptor or transport that has been taken over and has no endpoint yet. Opaque: only the documented
/// initialisers of endpoints make one, so that each stands over a connection of its own.
public struct AdoptedTransport: Sendable {
  let core: EndpointCore
  init(_ core: EndpointCore) { self.core = core }
}

/// The result of `detach`: enough for another endpoint, here or in another process, to go on where
/// this one stopped.
public struct DetachedEndpoint: ~Copyable, Sendable {
  /// The descriptor. For a duplex over two descriptors, the one for receiving; the one for sending if receiving was closed.
  public var descriptor: OwnedDescriptor
  /// For a duplex over two descriptors, the one for sending, if neither direction was closed.
  public var sendingDescriptor: OwnedDescriptor?
  /// Bytes that have been received and not been returned, an unfinished message included. Empty if receiving was closed.
  public var unread: [UInt8]

  /// Gives away ``descriptor``, and closes the other one, if there is one.
  public consuming func release() -> (descriptor: FileDescriptor, unread: [UInt8]) {
    (descriptor.release(), unread)
  }
}
