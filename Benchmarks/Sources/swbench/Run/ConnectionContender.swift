internal import CFloor
internal import Synchronization

/// A contender with a connection to one peer: opens its end, and measures one kind of work.
final class ConnectionContender: Contender {
  /// The program that echoes.
  enum Echo: Sendable {
    /// The same library, used in the same way.
    case alike
    case c
    /// Python's socketwrapper.
    case python(mode: String)
    /// A peer that dies after a while, to show the effect on the run.
    case dying
  }

  enum Work: Sendable {
    /// The peer echoes.
    case roundTrip(Echo)
    /// A C peer sends, or one of the same library, used in the same way.
    case receive(fromAlike: Bool)
    /// A C peer receives, and reports when it has everything.
    case send
  }

  private struct State: Sendable {
    var peer: PeerProcess?
    var connection: (any Connection)?
  }

  let title: String
  let latencies: Latencies?
  private let contestant: Contestant
  private let transport: Transport
  private let shape: Shape
  private let work: Work
  private let state = Mutex(State())

  init(
    _ contestant: Contestant, _ work: Work, _ transport: Transport, _ shape: Shape, title: String? = nil
  ) {
    self.title = title ?? contestant.title
    self.contestant = contestant
    self.transport = transport
    self.shape = shape
    self.work = work
    if case .roundTrip = work { latencies = Latencies() } else { latencies = nil }
  }

  func prepare() async throws {
    let (own, others) = try Ends.pair(transport)
    let peer: PeerProcess
    let frames = ["--size", "\(shape.byteCount)", "--header", contestant.header.rawValue]
    switch work {
    case .roundTrip(.alike):
      peer = try PeerProcess(role: "echo", ["--as", contestant.rawValue] + frames, ends: others)
    case .roundTrip(.c):
      peer = try PeerProcess(role: "echo", ["--as", "floor"] + frames, ends: others)
    case .roundTrip(.dying):
      peer = try PeerProcess(role: "dying", frames, ends: others)
    case .roundTrip(.python(let mode)):
      try await Python.check(mode: mode)
      let (interpreter, path) = try Python.script()
      peer = try PeerProcess(
        interpreter, [path, "echo", "--mode", mode, "--size", "\(shape.byteCount)"], ends: others)
    case .receive(let fromAlike):
      let source: Contestant = fromAlike ? contestant : .floor
      peer = try PeerProcess(
        role: "source", ["--as", source.rawValue, "--per-write", "\(shape.perWrite)"] + frames, ends: others)
    case .send:
      peer = try PeerProcess(role: "sink", frames, ends: others)
    }
    state.withLock { $0.peer = peer }
    let connection = try await contestant.open(own, shape)
    state.withLock { $0.connection = connection }
  }

  func round(_ operations: Int) async throws -> Round {
    let state = state.withLock { $0 }
    guard let peer = state.peer, let connection = state.connection else { throw UnexpectedEnd() }
    let before = floor_now()
    switch work {
    case .roundTrip:
      try await connection.roundTrips(operations, recording: latencies ?? Latencies())
    case .receive:
      try peer.order("\(operations)")
      try await connection.receive(operations)
    case .send:
      try peer.order("\(operations)")
      try await connection.send(operations)
      _ = try await onThread { try peer.answer() }
    }
    return Round(operations: operations, amount: Double(floor_now() - before))
  }

  func finish() async {
    let state = state.withLock { state in
      defer { state = State() }
      return state
    }
    await state.connection?.close()
    if let peer = state.peer { try? await onThread { peer.finish() } }
  }

  func interrupt() { state.withLock { $0.peer }?.kill() }

  var peerFate: String { state.withLock { $0.peer }?.fate ?? "" }
}
