public import SWIO
public import SWMessaging
internal import SWPickle
internal import Synchronization
public import SystemPackage

/// Serves descriptors to Python, which finds their addresses as ``SharedDescriptor`` in a pickle and fetches them here.
///
/// ```swift
/// let sharer = try DescriptorSharer(authentication: authentication)
/// let (ours, theirs) = try makeSocketPair(framing: .multiprocessing)
/// let shared = try theirs.withDescriptor { try sharer.share($0) }
/// try await peer.send(shared.connectionValue())       // Python: connection.recv() is a Connection
/// ```
///
/// Python authenticates with the `authkey` of its process (`multiprocessing.current_process().authkey`), so the key here
/// must be that one. Each descriptor is given away once. A descriptor that is not fetched stays until ``close()``, or until it
/// is taken back.
///
/// Safe to use from any thread and task.
///
/// Source: CPython 3.8 to 3.13, `Lib/multiprocessing/resource_sharer.py`.
public final class DescriptorSharer: Sendable {
  /// The address at which it listens.
  public let address: Address

  private let listener: Listener<MessageDuplex<MultiprocessingFraming>>
  private let shares: Shares
  private let task: Task<Void, Never>

  /// - Parameters:
  ///   - address: where to listen: a path or an abstract name. Unless it is given, the kernel chooses an abstract name.
  ///   - authentication: the key of the Python processes that are to fetch descriptors.
  ///   - policy: the connections that are accepted; nil: those of this user.
  /// - Throws: `EndpointError` as a `Listener`.
  public init(
    _ address: Address = .abstract(""), authentication: Authentication, accepting policy: AcceptPolicy? = nil
  ) throws(EndpointError) {
    let listener = try Listener(
      address, framing: .multiprocessing, authentication: authentication, accepting: policy)
    let shares = Shares(timeLimit: authentication.timeLimit)
    self.listener = listener
    self.shares = shares
    self.address = listener.address
    task = Task.detached { await shares.serve(listener) }
  }

  deinit { close() }

  /// Shares a descriptor. It is duplicated: the caller's may be closed.
  ///
  /// - Returns: the address and the number of the descriptor, to be pickled for Python.
  /// - Throws: `EndpointError` `transport` if it cannot be duplicated; `closed`.
  public func share(_ descriptor: FileDescriptor) throws(EndpointError) -> SharedDescriptor {
    let copy: OwnedDescriptor
    do throws(TransportError) {
      copy = try OwnedDescriptor(duplicating: descriptor)
    } catch {
      throw EndpointError(.transport(error), subject: .descriptor(descriptor.rawValue))
    }
    guard let key = shares.add(Kept(copy)) else { throw EndpointError(.closed) }
    return SharedDescriptor(address: address, key: key)
  }

  /// Takes a descriptor back, which is closed here.
  ///
  /// - Returns: whether it had not been fetched.
  @discardableResult
  public func takeBack(_ shared: SharedDescriptor) -> Bool { shares.take(shared.key) != nil }

  /// How many descriptors are shared and have not been fetched.
  public var count: Int { shares.count }

  /// Closes the descriptors that have not been fetched, and stops serving. Idempotent, does not wait.
  public func close() {
    listener.close()
    task.cancel()
    shares.close()
  }
}

/// A descriptor in a box, because a collection cannot hold a noncopyable value.
private final class Kept: Sendable {
  let descriptor: OwnedDescriptor
  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}

private final class Shares: Sendable {
  private struct State: Sendable {
    var kept: [Int: Kept] = [:]
    var lastKey = 0
    var isClosed = false
  }

  private let state = Guarded(State())
  private let timeLimit: Duration

  init(timeLimit: Duration) { self.timeLimit = timeLimit }

  var count: Int { state.withLock { $0.kept.count } }

  func add(_ kept: Kept) -> Int? {
    state.withLock { state in
      if state.isClosed { return nil }
      state.lastKey += 1
      state.kept[state.lastKey] = kept
      return state.lastKey
    }
  }

  func take(_ key: Int) -> Kept? { state.withLock { $0.kept.removeValue(forKey: key) } }

  func close() {
    let last = state.withLock { state in
      defer { state = State(isClosed: true) }
      return state.kept
    }
    _ = last
  }

  /// Serves until the listener is closed.
  func serve(_ listener: Listener<MessageDuplex<MultiprocessingFraming>>) async {
    try? await listener.serve(draining: .zero, on: nil) { await self.serve($0) }
  }

  private func serve(_ peer: MessageDuplex<MultiprocessingFraming>) async {
    defer { peer.close() }
    // Python's request is the number of its process, together with the key.
    guard let request = try? await peer.receive(timeout: timeLimit), let parts = request.elements,
      parts.count == 2, let key = parts[0].integer, let kept = take(key)
    else { return }
    let number = kept.descriptor.withDescriptor { $0 }
    try? await peer.sendHandle(number, timeout: timeLimit)
    withExtendedLifetime(kept) {}
  }
}
