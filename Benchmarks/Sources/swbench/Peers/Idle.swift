internal import ArgumentParser
internal import CFloor
internal import SWMessaging
internal import Synchronization

extension IdleContender.Way: ExpressibleByArgument {
  init?(argument: String) {
    guard let way = Self.allCases.first(where: { "\($0)" == argument }) else { return nil }
    self = way
  }
}

extension PeerCommand {
  /// Makes connections that wait, and prints their memory.
  struct Idle: AsyncParsableCommand {
    @Option var `as`: IdleContender.Way
    @Option var connections: Int

    func run() async throws { try await Self.measure(`as`, connections) }

    @concurrent
    private static func measure(_ way: IdleContender.Way, _ count: Int) async throws {
      _ = floor_raise_descriptor_limit(UInt64(2 * count + 300))
      let pairs = try (0..<count + 100).map { _ in try Ends.pair(.socketPair) }
      let keeper = Keeper()
      // Objects that exist only once are made before the first reading.
      keeper.reserve(count + 100)
      for pair in pairs.prefix(100) { try await keeper.keep(way, pair.0) }
      if way == .tasks { await keeper.gather(100) }
      try exchange(way, pairs.prefix(100).map(\.1.reading))
      let (resident, heap) = (floor_resident_bytes(), floor_heap_bytes())
      for pair in pairs.dropFirst(100) { try await keeper.keep(way, pair.0) }
      if way == .tasks { await keeper.gather(count + 100) }
      try exchange(way, pairs.dropFirst(100).map(\.1.reading))
      let figures = [Int(floor_resident_bytes()) - Int(resident), Int(floor_heap_bytes()) - Int(heap)]
      try Control.answer(figures.map(String.init).joined(separator: " "))
      withExtendedLifetime(keeper) {}
    }

    /// Has each connection echo two messages. When the second one has come back, the connection has waited once.
    private static func exchange(_ way: IdleContender.Way, _ peers: [Int32]) throws {
      if way == .descriptors || way == .tasks || way == .endpoints { return }
      let header: FrameHeader = way == .nio || way == .nioAsync ? .uint32 : .varInt
      let size = floor_frame_size(header.native, 64)
      var frame = [UInt8](repeating: 0, count: size)
      try unsafe frame.withUnsafeMutableBufferPointer { frame in
        unsafe floor_write_header(header.native, 64, frame.baseAddress)
        for _ in 0..<2 {
          for peer in peers {
            try checked("write", unsafe floor_write_all(peer, frame.baseAddress, size))
            try checked("read", unsafe floor_read_all(peer, frame.baseAddress, size))
          }
        }
      }
    }
  }

  /// Retains objects that must not be freed before the figures are taken.
  private final class Keeper: Sendable {
    private let kept = Mutex<[any Sendable]>([])

    /// Reserved, so the list itself does not grow between the readings.
    func reserve(_ count: Int) { kept.withLock { $0.reserveCapacity(count) } }

    /// Waits for `count` objects.
    func gather(_ count: Int) async {
      while kept.withLock({ $0.count }) < count { await Task.yield() }
    }

    private func keep(_ continuation: CheckedContinuation<Void, Never>) {
      kept.withLock { $0.append(continuation) }
    }

    func keep(_ way: IdleContender.Way, _ ends: Ends) async throws {
      let shape = Shape(byteCount: 64)
      switch way {
      case .descriptors: break
      case .tasks:
        Task.detached { await withCheckedContinuation { [self] in keep($0) } }
      case .endpoints:
        let endpoint = try MessageDuplex(adopting: ends.reading, framing: .varInt)
        kept.withLock { $0.append(endpoint) }
      case .reactor, .pool:
        let endpoint = try MessageDuplex(adopting: ends.reading, framing: .varInt)
        Task.detached(executorPreference: way == .reactor ? ReactorExecutor.shared : nil) {
          while let message = try await endpoint.next() { try await endpoint.send(message) }
        }
      case .nio:
        let connection = try await NIOHandlerConnection(ends, shape)
        Task.detached { try await connection.echo() }
      case .nioAsync:
        let connection = try await NIOAsyncConnection(ends, shape)
        Task.detached { try await connection.echo() }
      }
    }
  }
}
