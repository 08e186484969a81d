internal import CFloor
internal import Foundation
internal import NIOCore
internal import NIOPosix
internal import SWMessaging
internal import Synchronization

/// Connects, sends one message, receives it again and closes, over and over; a process of the same kind answers.
final class ConnectingContender: Contender {
  enum Way: String, CaseIterable, Sendable {
    case floor = "C floor"
    case blocking = "blocking"
    case reactor = "async on the reactor"
    case serve = "async on the reactor, serve"
    case pool = "async, default executor, serve"
    case nio = "SwiftNIO handlers"
    case python = "Python multiprocessing"
  }

  private struct State: Sendable {
    var server: PeerProcess?
    var name = ""
    var endpoint: Address?
  }

  let title: String
  private let way: Way
  private let state = Mutex(State())
  private let python = PythonDriver()

  init(_ way: Way) {
    title = way.rawValue
    self.way = way
  }

  func prepare() async throws {
    if way == .python {
      let (interpreter, path) = try Python.script("connect_bench")
      return try await python.start(interpreter, [path, "drive"])
    }
    let server = try PeerProcess(role: "answer", ["--as", "\(way)"], ends: nil)
    state.withLock { $0.server = server }
    let name = try await onThread { try server.answer() }
    state.withLock { state in
      state.name = name
      state.endpoint = way == .floor || way == .nio ? nil : Address(name)
    }
  }

  func round(_ operations: Int) async throws -> Round {
    if way == .python {
      return Round(operations: operations, amount: Double(try await python.figures(of: operations).elapsed))
    }
    let (name, address) = state.withLock { ($0.name, $0.endpoint) }
    let before = floor_now()
    switch way {
    case .floor:
      _ = try await onThread { try checked("connect", unsafe floor_ask_anew(name, operations)) }
    case .blocking:
      try await onThread { try Self.askBlocking(address, operations) }
    case .reactor, .serve: try await Self.ask(address, operations, on: ReactorExecutor.shared)
    case .pool: try await Self.ask(address, operations, on: nil)
    case .nio: try await NIOConnecting.ask(name, operations)
    case .python: break
    }
    return Round(operations: operations, amount: Double(floor_now() - before))
  }

  private static let message = [UInt8](repeating: 0, count: 64)

  @available(*, noasync)
  private static func ask(blocking address: Address?, _ count: Int) throws {
    guard let address else { throw UnexpectedEnd() }
    let connector = Connector(to: address)
    for _ in 0..<count {
      let peer = try connector.blocking.connect(framing: .varInt)
      try peer.blocking.send(message)
      _ = try peer.blocking.receive()
      peer.close()
    }
  }

  private static let askBlocking: @Sendable (Address?, Int) throws -> Void = { try ask(blocking: $0, $1) }

  @concurrent
  private static func ask(_ address: Address?, _ count: Int, on executor: (any TaskExecutor)?) async throws {
    guard let address else { throw UnexpectedEnd() }
    try await withTaskExecutorPreference(executor) {
      for _ in 0..<count {
        let peer = try await connect(to: address, framing: .varInt)
        try await peer.send(message)
        _ = try await peer.receive()
        peer.close()
      }
    }
  }

  func finish() async {
    await python.finish()
    let server = state.withLock { state in
      defer { state = State() }
      return state.server
    }
    if let server { try? await onThread { server.finish() } }
  }

  func interrupt() {
    python.kill()
    state.withLock { $0.server }?.kill()
  }

  var peerFate: String { state.withLock { $0.server }?.fate ?? python.fate }
}

/// SwiftNIO at both ends.
enum NIOConnecting {
  static func ask(_ path: String, _ count: Int) async throws {
    let shape = Shape(byteCount: 64)
    for _ in 0..<count {
      let channel = try await ClientBootstrap(group: NIOSetup.group)
        .channelInitializer { channel in
          NIOSetup.prepare(channel) { try $0.pipeline.syncOperations.addHandler(NIODriver(shape)) }
        }
        .connect(unixDomainSocketPath: path).get()
      let latencies = Latencies()
      try await NIOHandlerConnection(channel: channel).roundTrips(1, recording: latencies)
      try await channel.close()
    }
  }

  /// Listens at a path and echoes until it is closed.
  static func listen(_ path: String) async throws -> any Channel {
    try await ServerBootstrap(group: NIOSetup.group)
      .serverChannelOption(.backlog, value: 4096)
      .childChannelInitializer { channel in
        NIOSetup.prepare(channel) { try $0.pipeline.syncOperations.addHandler(NIOEcho()) }
      }
      .bind(unixDomainSocketPath: path).get()
  }

  private final class NIOEcho: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      context.writeAndFlush(wrapOutboundOut(unwrapInboundIn(data)), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
