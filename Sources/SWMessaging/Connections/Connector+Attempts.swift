package import SWIO
internal import Synchronization
internal import SystemPackage

// How a connector gets its descriptor. Most connections to Unix sockets need one attempt, which is made here. All others use
// a receiving half whose item is the connected descriptor, so the half provides the queue, the deadlines and the
// cancellation.

extension Connector {
  private enum Begun {
    case connected(EndpointCore)
    case waits(any Connecting)
  }

  /// Connects, for a task.
  func core(_ mode: ReceiveMode, _ limit: CallLimit) async throws(EndpointError) -> EndpointCore {
    if Task.isCancelled { throw EndpointError(.cancelled, subject: .service(address)) }
    let deadline = limit.deadline
    switch try begin(mode) {
    case .connected(let core): return core
    case .waits(let connecting):
      defer { connecting.end() }
      let half = connecting.half
      return try finish(
        connecting, await half.receive(ReceiveHalf.nextItem, CallLimit(nil, deadline)), mode)
    }
  }

  /// Connects, for a thread.
  func coreBlocking(_ mode: ReceiveMode, _ limit: CallLimit) throws(EndpointError) -> EndpointCore {
    let deadline = limit.deadline
    switch try begin(mode) {
    case .connected(let core): return core
    case .waits(let connecting):
      defer { connecting.end() }
      let outcome = connecting.half.receiveBlocking(ReceiveHalf.nextItem, CallLimit(nil, deadline))
      return try finish(connecting, outcome, mode)
    }
  }

  private func begin(_ mode: ReceiveMode) throws(EndpointError) -> Begun {
    do throws(AddressError) { try address.validate() } catch {
      throw EndpointError(.address(error), subject: .service(address))
    }
    switch address.kind {
    case .descriptor(let number):
      do throws(EndpointError) {
        return .connected(
          try EndpointCore(adopting: number, for: [.readable, .writable], mode: mode))
      } catch {
        throw error.about(.service(address))
      }
    case .tcp(let host, let port):
      if kind != .stream { throw failure(TransportError(.connect, .protocolNotSupported)) }
      return .waits(HostConnecting(host: host, port: port, .stream, self))
    case .udp(let host, let port):
      if kind == .packets { throw failure(TransportError(.connect, .protocolNotSupported)) }
      return .waits(HostConnecting(host: host, port: port, .datagrams, self))
    case .unix, .abstract:
      let key = WaitingLine.Key(address: address, kind: kind, waitsForServer: waitsForServer)
      if let line = WaitingLine.join(key, ifThere: true) { return .waits(line) }
      do throws(TransportError) {
        let descriptor = try OwnedDescriptor.connected(to: address, kind)
        return .connected(
          try EndpointCore(connected: descriptor, kind, isUnix: true, mode: mode, orFailAt: address))
      } catch {
        guard key.waits(for: error.errno), let line = WaitingLine.join(key, ifThere: false) else {
          throw failure(error)
        }
        return .waits(line)
      }
    }
  }

  private func finish(
    _ connecting: any Connecting, _ outcome: ReceiveHalf.Outcome, _ mode: ReceiveMode
  ) throws(EndpointError) -> EndpointCore {
    do throws(EndpointError) {
      guard let fresh = try connecting.half.value(of: outcome) as? FreshDescriptor else {
        preconditionFailure("connecting yields descriptors")
      }
      return try fresh.core(mode)
    } catch {
      var error = error.about(.service(address))
      error.explanation = connecting.explanation(of: error, at: address)
      throw error
    }
  }

  private func failure(_ error: TransportError) -> EndpointError {
    EndpointError(.transport(error), subject: .service(address))
  }
}

extension EndpointCore {
  fileprivate convenience init(
    connected descriptor: consuming OwnedDescriptor, _ kind: ConnectionKind, isUnix: Bool, mode: ReceiveMode,
    orFailAt address: Address
  ) throws(TransportError) {
    do throws(EndpointError) {
      try self.init(connected: descriptor, kind, isUnix: isUnix, mode: mode)
    } catch {
      guard case .transport(let failure) = error.reason else { preconditionFailure("nothing else fails") }
      throw failure
    }
  }
}

/// A connection attempt that has to wait.
protocol Connecting: Sendable {
  var half: ReceiveHalf { get }
  /// Returns further facts for the caller, besides the error.
  func explanation(of error: EndpointError, at address: Address) -> String
  /// Called when the caller has its result or has given up.
  func end()
}

extension Connecting {
  /// If the error says only that the time is over, returns the error of the last attempt as an explanation.
  func explanation(
    _ last: TransportError?, _ words: String = "", of error: EndpointError, at address: Address
  )
    -> String
  {
    switch error.reason {
    case .timedOut, .cancelled:
      guard let last else { return "" }
      let text = "the last attempt: \(last.description(at: address.description))"
      return words.isEmpty ? text : "\(text): \(words)"
    default: return words
    }
  }
}

// MARK: - Unix sockets

/// A queue of all callers in this process that wait for one Unix socket. The first in line makes the attempts. `poll` cannot
/// help: it returns at once, because an unconnected socket counts as hung up.
package final class WaitingLine: Connecting {
  package struct Key: Hashable, Sendable {
    let address: Address
    let kind: ConnectionKind
    let waitsForServer: Bool

    package init(address: Address, kind: ConnectionKind, waitsForServer: Bool) {
      self.address = address
      self.kind = kind
      self.waitsForServer = waitsForServer
    }

    /// Whether this error may pass: the server's queue is full (EAGAIN), or there is no server yet.
    func waits(for errno: Errno) -> Bool {
      errno == .wouldBlock
        || (waitsForServer && [.noSuchFileOrDirectory, .connectionRefused].contains(errno))
    }
  }

  private struct Lines: Sendable {
    var lines: [Key: WaitingLine] = [:]
    var callers: [Key: Int] = [:]
  }

  private static let lines = Guarded(Lines())

  let half: ReceiveHalf
  private let key: Key
  private let source: UnixConnectSource

  private init(_ key: Key) {
    self.key = key
    source = UnixConnectSource(key)
    half = ReceiveHalf(Port(source, for: .readable, reactor: Reactor.shared))
  }

  /// The number of callers that wait in a line, for tests.
  package static func waiting(_ key: Key) -> Int {
    lines.withLock { $0.lines[key] }?.half.inspect { $0.queue.count } ?? 0
  }

  /// - Parameter ifThere: join only a line that exists.
  static func join(_ key: Key, ifThere: Bool) -> WaitingLine? {
    lines.withLock { state in
      // Nearly always. The key is not even hashed then.
      if ifThere, state.lines.isEmpty { return nil }
      if let line = state.lines[key] {
        state.callers[key, default: 0] += 1
        return line
      }
      if ifThere { return nil }
      let line = WaitingLine(key)
      state.lines[key] = line
      state.callers[key] = 1
      return line
    }
  }

  func end() {
    let isLast = Self.lines.withLock { state in
      let count = (state.callers[key] ?? 1) - 1
      state.callers[key] = count > 0 ? count : nil
      if count == 0 { state.lines[key] = nil }
      return count == 0
    }
    // Closing the half also closes a connection that no caller has taken.
    if isLast { half.close() }
  }

  func explanation(of error: EndpointError, at address: Address) -> String {
    let last = source.lastFailure
    return explanation(
      last, last?.errno == .wouldBlock ? "the server's queue of connections is full" : "", of: error,
      at: address)
  }
}

/// Connects to a Unix socket, for one caller after the other.
private final class UnixConnectSource: ItemSource {
  private let key: WaitingLine.Key
  private let failure = Guarded<TransportError?>(nil)

  init(_ key: WaitingLine.Key) { self.key = key }

  var lastFailure: TransportError? { failure.withLock { $0 } }

  var readinessSource: ReadinessSource { .signal }

  var capabilities: TransportCapabilities {
    var capabilities = TransportCapabilities()
    capabilities.longestPause = 20_000_000
    return capabilities
  }

  func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt {
    do throws(TransportError) {
      let descriptor = try OwnedDescriptor.connected(to: key.address, key.kind)
      take(.value(FreshDescriptor(descriptor, key.kind, isUnix: true), stays: false))
      return .transferred(1)
    } catch {
      let error = error
      failure.withLock { $0 = error }
      return key.waits(for: error.errno)
        ? .retryLater : .failed(TransportError(error.operation, error.errno, scope: .item))
    }
  }

  func close() {}
}
