internal import CFloor
internal import SWMessaging
internal import Synchronization

/// Many senders of small messages on one end, each waiting until its message is sent before it sends the next.
final class SendersContender: Contender {
  enum Way: String, CaseIterable, Sendable {
    /// The baseline for this library: a lock around one plain write(2) a message.
    case threadsLock = "threads, a mutex around write(2)"
    case threadsOwn = "threads, one endpoint"
    /// A lock that blocks the pool's threads. It is fast, but must not be used if the peer may be slow.
    case tasksMutex = "tasks, a mutex around write(2)"
    /// A lock that suspends the waiting task, first in, first out, with the same promise as this library.
    case tasksLock = "tasks, an asynchronous FIFO lock around write(2)"
    case tasksOwn = "tasks, one endpoint"
    case tasksOwnReactor = "tasks on the reactor, one endpoint"

    var usesTasks: Bool { self != .threadsLock && self != .threadsOwn }
    var isOwn: Bool { self == .threadsOwn || self == .tasksOwn || self == .tasksOwnReactor }
  }

  private struct State: Sendable {
    var peer: PeerProcess?
    var ends = Ends(reading: -1, writing: -1)
    var endpoint: MessageDuplex<VarIntFraming>?
  }

  var title: String { way.rawValue }
  private let way: Way
  private let senders: Int
  private let shape = Shape(byteCount: 64)
  private let state = Mutex(State())

  init(_ way: Way, senders: Int) {
    self.way = way
    self.senders = senders
  }

  func prepare() async throws {
    let (own, others) = try Ends.pair(.socketPair)
    let peer = try PeerProcess(role: "sink", ["--size", "64", "--header", "varInt"], ends: others)
    let endpoint = way.isOwn ? try own.endpoint(mode: .readAhead) : nil
    state.withLock { $0 = State(peer: peer, ends: own, endpoint: endpoint) }
  }

  func round(_ operations: Int) async throws -> Round {
    let state = state.withLock { $0 }
    guard let peer = state.peer else { throw UnexpectedEnd() }
    let each = max(1, operations / senders)
    let before = floor_now()
    try peer.order("\(each * senders)")
    try await send(each, state)
    _ = try await onThread { try peer.answer() }
    return Round(operations: each * senders, amount: Double(floor_now() - before))
  }

  private func send(_ count: Int, _ state: State) async throws {
    let message = shape.message
    let frame = [UInt8(64)] + message
    let descriptor = state.ends.writing
    switch (way, state.endpoint) {
    case (.threadsOwn, let endpoint?):
      try await threads { for _ in 0..<count { try endpoint.blocking.send(message) } }
    case (.tasksOwn, let endpoint?):
      try await tasks(nil) { for _ in 0..<count { try await endpoint.send(message) } }
    case (.tasksOwnReactor, let endpoint?):
      try await tasks(.reactor) { for _ in 0..<count { try await endpoint.send(message) } }
    case (.threadsLock, _):
      let lock = Mutex(())
      try await threads {
        for _ in 0..<count { try lock.withLock { _ in try Self.write(frame, to: descriptor) } }
      }
    case (.tasksMutex, _):
      let lock = Mutex(())
      try await tasks(nil) {
        for _ in 0..<count { try lock.withLock { _ in try Self.write(frame, to: descriptor) } }
      }
    default:
      let lock = AsyncLock()
      try await tasks(nil) {
        for _ in 0..<count {
          await lock.lock()
          defer { lock.unlock() }
          try Self.write(frame, to: descriptor)
        }
      }
    }
  }

  private static func write(_ frame: [UInt8], to descriptor: Int32) throws {
    try checked(
      "write", unsafe frame.withUnsafeBytes { unsafe floor_write_all(descriptor, $0.baseAddress, $0.count) })
  }

  private func threads(_ body: @escaping @Sendable () throws -> Void) async throws {
    try await withThrowingTaskGroup { group in
      for _ in 0..<senders { group.addTask { try await onThread(body) } }
      try await group.waitForAll()
    }
  }

  private func tasks(
    _ executor: ReactorExecutor?, _ body: @escaping @Sendable @concurrent () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup { group in
      for _ in 0..<senders { group.addTask(executorPreference: executor) { try await body() } }
      try await group.waitForAll()
    }
  }

  func finish() async {
    let state = state.withLock { state in
      defer { state = State() }
      return state
    }
    if let endpoint = state.endpoint { endpoint.close() } else if state.peer != nil { state.ends.close() }
    if let peer = state.peer { try? await onThread { peer.finish() } }
  }

  func interrupt() { state.withLock { $0.peer }?.kill() }
  var peerFate: String { state.withLock { $0.peer }?.fate ?? "" }
}
