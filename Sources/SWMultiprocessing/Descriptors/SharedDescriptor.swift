public import SWIO
internal import SWMessaging
public import SWPickle
internal import SystemPackage

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// A descriptor that comes inside a pickle: where it can be fetched. Python's `multiprocessing` pickles a Connection or a
/// socket in this way, and serves the descriptor from a thread of the process that pickled it.
///
/// ```swift
/// let value = try await peer.receive()                         // Python: connection.send(other_connection)
/// if let shared = SharedDescriptor(value) {
///   let descriptor = try await shared.detach(authentication: authentication)
///   let other = try MessageDuplex(adopting: descriptor, framing: .multiprocessing)
/// }
/// ```
///
/// A descriptor is served once. The key of the server is the `authkey` of Python's process
/// (`multiprocessing.current_process().authkey`), which need not be that of a connection.
///
/// Source: CPython 3.8 to 3.13, `Lib/multiprocessing/resource_sharer.py`, `DupFd`.
public struct SharedDescriptor: Hashable, Sendable {
  /// The address at which it is served.
  public let address: Address
  /// Its number there.
  public let key: Int

  /// A descriptor that is served at an address under a number.
  public init(address: Address, key: Int) {
    self.address = address
    self.key = key
  }

  private static let dupFD = PickleName("multiprocessing.resource_sharer", "DupFd")
  private static let connection = PickleName("multiprocessing.connection", "rebuild_connection")
  private static let socket = PickleName("multiprocessing.reduction", "_rebuild_socket")

  /// The descriptor of a `DupFd`, of a Connection, or of a socket.
  ///
  /// - Returns: nil for any other value.
  public init?(_ value: PickleValue) {
    guard let object = value.object, let name = object.name else { return nil }
    if name == Self.connection || name == Self.socket {
      guard let first = object.arguments.first, first.object?.name == Self.dupFD else { return nil }
      self.init(first)
      return
    }
    guard name == Self.dupFD, let identity = object["_id"]?.elements, identity.count == 2,
      let address = Address(python: identity[0]), let key = identity[1].integer
    else { return nil }
    self.init(address: address, key: key)
  }

  // MARK: Values for Python

  /// Python's `DupFd`: its `detach()` gives the number of the descriptor.
  public var pickleValue: PickleValue {
    .object(
      Self.dupFD, isNew: true,
      state: ["_id": .tuple([address.pythonValue ?? .none, PickleValue(key)])])
  }

  /// A Connection of Python's `multiprocessing` over the descriptor.
  public func connectionValue(readable: Bool = true, writable: Bool = true) -> PickleValue {
    .object(Self.connection, [pickleValue, PickleValue(readable), PickleValue(writable)])
  }

  /// A socket of Python's over the descriptor.
  ///
  /// - Parameters:
  ///   - family: such as AF_UNIX.
  ///   - type: such as SOCK_STREAM.
  ///   - number: the protocol; 0 stands for the usual one.
  public func socketValue(family: Int32, type: Int32, protocol number: Int32 = 0) -> PickleValue {
    .object(
      Self.socket, [pickleValue, PickleValue(family), PickleValue(type), PickleValue(number)])
  }

  // MARK: Fetching

  /// Fetches the descriptor, which the server gives away once.
  ///
  /// - Parameters:
  ///   - authentication: the key of the process that pickled the descriptor.
  ///   - timeout: how long to wait at most; nil: without limit, except for the handshake.
  ///   - deadline: until when to wait at most.
  /// - Returns: the descriptor, close-on-exec, the caller's.
  /// - Throws: ``MultiprocessingError``. `connection` with `endOfStream`: the server does not have it, or not any more. If the
  ///   call has timed out or was cancelled, the server may have given it away.
  public func detach(
    authentication: Authentication, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> OwnedDescriptor {
    let deadline = CallLimit(timeout, deadline).deadline
    let peer = try await Connector(to: address).connect(
      framing: .multiprocessing, authentication: authentication, until: deadline)
    defer { peer.close() }
    peer.maximumDescriptors = 1
    do throws(EndpointError) {
      try await peer.send(request, until: deadline)
    } catch {
      throw MultiprocessingError(.connection(error), address: address)
    }
    do throws(MultiprocessingError) {
      return try await peer.receiveHandle(until: deadline)
    } catch {
      throw MultiprocessingError(error.reason, address: address)
    }
  }

  /// The same calls, blocking. Not usable from async code.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public var blocking: BlockingSharedDescriptor { BlockingSharedDescriptor(shared: self) }

  fileprivate var request: PickleValue { .tuple([PickleValue(key), PickleValue(getpid())]) }
}

/// The blocking view of a shared descriptor.
public struct BlockingSharedDescriptor: Sendable {
  let shared: SharedDescriptor

  /// Blocking form of ``SharedDescriptor/detach(authentication:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func detach(
    authentication: Authentication, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> OwnedDescriptor {
    let deadline = CallLimit(timeout, deadline).deadline
    let address = shared.address
    let peer: MessageDuplex<MultiprocessingFraming>
    do throws(EndpointError) {
      peer = try Connector(to: address).blocking.connect(framing: .multiprocessing, until: deadline)
    } catch {
      throw MultiprocessingError(.connection(error), address: address)
    }
    defer { peer.close() }
    try peer.blocking.authenticate(as: .client, with: authentication, address: address, until: deadline)
    peer.maximumDescriptors = 1
    do throws(EndpointError) {
      try peer.blocking.send(shared.request, until: deadline)
    } catch {
      throw MultiprocessingError(.connection(error), address: address)
    }
    do throws(MultiprocessingError) {
      return try peer.blocking.receiveHandle(until: deadline)
    } catch {
      throw MultiprocessingError(error.reason, address: address)
    }
  }
}
