internal import ArgumentParser
internal import CFloor
internal import Foundation
internal import SWMessaging
internal import Synchronization

private typealias Peer = MessageDuplex<VarIntFraming>

private func median(_ figures: [UInt64]) -> UInt64 { figures.sorted()[figures.count / 2] }

extension Listener {
  /// The abstract name at which it listens.
  fileprivate var name: String {
    guard case .abstract(let bytes) = address.kind else { preconditionFailure("it has an abstract name") }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension PeerCommand {
  /// A thread waits in accept while no descriptor is free and clients wait. Then one descriptor is closed, again and again.
  ///
  /// Prints the nanoseconds from a close to the next accept, median and maximum, and the processor time of the wait in per
  /// mille of its length.
  struct Shortage: ParsableCommand {
    func run() throws {
      let run = try ShortageRun()
      let share = run.wait()
      let delays = run.delays()
      try Control.answer("\(median(delays)) \(delays.max() ?? 0) \(share)")
    }
  }

  private final class ShortageRun: Sendable {
    private struct State: Sendable {
      var held: [Peer] = []
      var accepted: [UInt64] = []
    }

    private static let rounds = 150
    private let listener: Listener<Peer>
    private let state = Mutex(State())

    init() throws {
      listener = try Listener(.abstract(""), framing: .varInt)
      var last: Int32 = 0
      for _ in 0..<200 { last = try checked("connect", unsafe floor_connect(listener.name)) }
      // Room for ten more.
      var limit = rlimit(rlim_cur: rlim_t(last + 11), rlim_max: rlim_t(last + 11))
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      while accept(for: .zero) {}
    }

    private func accept(for timeout: Duration?) -> Bool {
      guard let peer = try? listener.blocking.accept(timeout: timeout) else { return false }
      let now = floor_now()
      state.withLock { state in
        state.held.append(peer)
        state.accepted.append(now)
      }
      return true
    }

    /// The processor time of five seconds without a descriptor, in per mille.
    func wait() -> Double {
      let (begin, used) = (floor_now(), floor_processor_time())
      _ = accept(for: .seconds(5))
      return Double(floor_processor_time() - used) / Double(floor_now() - begin) * 1_000
    }

    func delays() -> [UInt64] {
      state.withLock { $0.accepted = [] }
      Thread.detachNewThread { [self] in for _ in 0..<Self.rounds { _ = accept(for: nil) } }
      return (0..<Self.rounds).map { round in
        // The listener's pause begins and grows during this time.
        usleep(20_000)
        let peer = state.withLock { $0.held.removeFirst() }
        let begin = floor_now()
        peer.close()
        while state.withLock({ $0.accepted.count <= round }) { sched_yield() }
        return state.withLock { $0.accepted[round] } - begin
      }
    }
  }

  /// A service with a greeting that most of its clients never send.
  ///
  /// Prints the nanoseconds from connecting to the answer, for clients that send it beside a thousand silent ones, median
  /// and maximum; and the median without the silent ones.
  struct Greeted: AsyncParsableCommand {
    func run() async throws { try await Self.measure() }

    @concurrent
    private static func measure() async throws {
      _ = floor_raise_descriptor_limit(4_000)
      let listener = try Listener(.abstract(""), framing: .varInt)
      let serving = Task.detached {
        try await listener.serve(
          limit: 3_000, greetingTimeout: .seconds(120), draining: .zero,
          greeting: { peer in try await peer.send(try await peer.receive()) },
          { peer in for try await message in peer.messages { try await peer.send(message) } })
      }
      let alone = try await times(listener.address)
      var silent: [Int32] = []
      for _ in 0..<1_000 { silent.append(try checked("connect", unsafe floor_connect(listener.name))) }
      let beside = try await times(listener.address)
      try Control.answer("\(median(beside)) \(beside.max() ?? 0) \(median(alone))")
      for client in silent { _ = floor_close(client) }
      listener.finish()
      try await serving.value
    }

    private static func times(_ address: Address) async throws -> [UInt64] {
      var times: [UInt64] = []
      for _ in 0..<200 {
        let begin = floor_now()
        let client = try await connect(to: address, framing: .varInt)
        try await client.send("hello")
        _ = try await client.receive()
        times.append(floor_now() - begin)
        client.close()
      }
      return times
    }
  }

  /// Round trips with a task of `.messaging`, which has two workers, while another task there computes for 100 ms at a time.
  ///
  /// Prints the nanoseconds of a round trip: median, 99th percentile and maximum; and the median without the other task.
  struct Computing: AsyncParsableCommand {
    func run() async throws { try await Self.measure() }

    @concurrent
    private static func measure() async throws {
      MessagingExecutor.shared.workerCount = 2
      let (client, service) = try makeSocketPair(framing: .varInt)
      let echoing = Task(executorPreference: .messaging) { @concurrent in
        for try await message in service.messages { try await service.send(message) }
      }
      let alone = try await times(client)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask(executorPreference: .messaging) { @concurrent in
          while !Task.isCancelled {
            let end = floor_now() + 100_000_000
            while floor_now() < end {}
            await Task.yield()
          }
        }
        let beside = try await times(client)
        group.cancelAll()
        let late = beside.sorted()[beside.count * 99 / 100]
        try Control.answer("\(median(beside)) \(late) \(beside.max() ?? 0) \(median(alone))")
      }
      client.close()
      try await echoing.value
    }

    private static func times(_ client: Peer) async throws -> [UInt64] {
      try await onThread {
        let message = [UInt8](repeating: 7, count: 64)
        return try (0..<1_000).map { _ in
          usleep(500)
          let begin = floor_now()
          try client.blocking.send(message)
          _ = try client.blocking.receive()
          return floor_now() - begin
        }
      }
    }
  }

  /// Twenty clients connect at once to a service with a backlog of one that accepts a connection each 50 ms.
  ///
  /// Prints the milliseconds until all are connected, the number of connected clients, and the processor time in per mille.
  struct Crowd: AsyncParsableCommand {
    func run() async throws { try await Self.measure() }

    @concurrent
    private static func measure() async throws {
      let listener = try Listener(.abstract(""), framing: .varInt, backlog: 1)
      let count = 20
      Thread.detachNewThread {
        var held: [Peer] = []
        while held.count < count {
          usleep(50_000)
          if let peer = try? listener.blocking.accept() { held.append(peer) }
        }
      }
      let (begin, used) = (floor_now(), floor_processor_time())
      let clients = await withTaskGroup(of: Peer?.self) { group in
        for _ in 0..<count {
          group.addTask { try? await connect(to: listener.address, framing: .varInt, timeout: .seconds(30)) }
        }
        return await group.reduce(into: [Peer]()) { if let peer = $1 { $0.append(peer) } }
      }
      let (time, processor) = (floor_now() - begin, floor_processor_time() - used)
      try Control.answer(
        "\(Double(time) / 1e6) \(clients.count) \(Double(processor) / Double(time) * 1_000)")
    }
  }
}
