internal import ArgumentParser
internal import CFloor
internal import SWMessaging

extension FirstMessageContender.Way: ExpressibleByArgument {
  init?(argument: String) {
    guard let way = Self.allCases.first(where: { "\($0)" == argument }) else { return nil }
    self = way
  }
}

extension PeerCommand {
  /// Sends one message, and prints how long that took from the making of the endpoint on.
  struct First: AsyncParsableCommand {
    @Option var `as`: FirstMessageContender.Way

    func run() async throws { try await Self.send(`as`) }

    @concurrent
    private static func send(_ way: FirstMessageContender.Way) async throws {
      let before = floor_now()
      let message = [UInt8](repeating: 0, count: 64)
      switch way {
      case .floor:
        let frame = [UInt8(64)] + message
        try checked("write", unsafe frame.withUnsafeBytes { unsafe floor_write_all(3, $0.baseAddress, 65) })
      case .blocking:
        try block(message)
      case .reactor, .pool:
        let endpoint = try MessageDuplex(adopting: ends().reading, framing: .varInt)
        try await withTaskExecutorPreference(way == .reactor ? ReactorExecutor.shared : nil) {
          try await endpoint.send(message)
        }
      }
      try Control.answer("\(floor_now() - before)")
    }

    @available(*, noasync)
    private static func sendBlocking(_ message: [UInt8]) throws {
      let endpoint = try MessageDuplex(adopting: ends().reading, framing: .varInt)
      try endpoint.blocking.send(message)
    }

    /// This may block a thread of the pool, because nothing else runs in this process.
    private static let block: @Sendable ([UInt8]) throws -> Void = { try sendBlocking($0) }
  }
}
