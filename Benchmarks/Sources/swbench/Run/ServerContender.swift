internal import CFloor
internal import Synchronization

/// One process that echoes on many connections, and a C process that keeps some messages in flight over all of
/// them in turn.
final class ServerContender: Contender {
  enum Way: String, CaseIterable, Sendable {
    case floor = "C, epoll"
    case reactor = "async on the reactor"
    case messaging1 = "async on .messaging, 1 worker"
    case messaging2 = "async on .messaging, 2 workers"
    case pool = "async, default executor"
    case nio = "SwiftNIO handlers"
    case nio2 = "SwiftNIO handlers, 2 loops"
  }

  private struct State: Sendable {
    var server: PeerProcess?
    var load: PeerProcess?
    var processorTime: Double = 0
  }

  let title: String
  private let way: Way
  private let connections: Int
  /// The number of messages in flight.
  private let window: Int
  private let state = Mutex(State())

  init(_ way: Way, connections: Int, window: Int) {
    title = Self.title(way, connections)
    self.way = way
    self.connections = connections
    self.window = window
  }

  private var header: FrameHeader { way == .nio || way == .nio2 ? .uint32 : .varInt }

  static func title(_ way: Way, _ connections: Int) -> String { "\(way.rawValue), \(connections)" }

  func prepare() async throws {
    let server = try PeerProcess(
      role: "serve", ["--as", "\(way)", "--connections", "\(connections)"], ends: nil)
    state.withLock { $0.server = server }
    let name = try await onThread { try server.answer() }
    let load = try PeerProcess(
      role: "load",
      ["--name", name, "--connections", "\(connections)", "--size", "64", "--header", header.rawValue],
      ends: nil)
    state.withLock { $0.load = load }
    try await onThread {
      _ = try load.answer()
      _ = try server.answer()
    }
    _ = try await round(connections)  // every connection has been used
  }

  func round(_ wanted: Int) async throws -> Round {
    // Enough operations that the start and the end of the window matter little.
    let operations = max(wanted, 3 * window)
    let state = state.withLock { $0 }
    guard let server = state.server, let load = state.load else { throw UnexpectedEnd() }
    let before = floor_now()
    try load.order("\(operations) \(window)")
    _ = try await onThread { try load.answer() }
    let elapsed = Double(floor_now() - before)
    try server.order("time")
    let used = Double(try await onThread { try server.answer() }) ?? 0
    let spent = self.state.withLock { state in
      defer { state.processorTime = used }
      return used - state.processorTime
    }
    return Round(
      operations: operations, amount: elapsed, extras: ["processor ns": spent / Double(operations)])
  }

  func finish() async {
    let state = state.withLock { state in
      defer { state = State() }
      return state
    }
    try? await onThread {
      state.load?.finish()
      state.server?.finish()
    }
  }

  func interrupt() {
    let state = state.withLock { $0 }
    state.server?.kill()
    state.load?.kill()
  }

  var peerFate: String {
    let state = state.withLock { $0 }
    return [state.server, state.load].compactMap { $0?.fate }.filter { !$0.isEmpty }
      .joined(separator: "; ")
  }
}
