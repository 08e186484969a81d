internal import ArgumentParser
internal import CFloor
internal import Foundation
internal import NIOCore
internal import NIOPosix
internal import SWMessaging

extension PeerCommand {
  /// Keeps connections from another process, and echoes on all of them.
  struct Serve: AsyncParsableCommand {
    @Option var `as`: ServerContender.Way
    @Option var connections: Int

    func run() async throws { try await Self.serve(`as`, connections) }

    @concurrent
    private static func serve(_ way: ServerContender.Way, _ count: Int) async throws {
      _ = floor_raise_descriptor_limit(UInt64(count + 100))
      var name = [CChar](repeating: 0, count: 108)
      let listener = try checked(
        "listen", unsafe name.withUnsafeMutableBufferPointer { unsafe floor_listen($0.baseAddress) })
      let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      try Control.answer(text)
      let descriptors = try await onThread {
        try (0..<count).map { _ in try checked("accept", floor_accept(listener)) }
      }
      let shape = Shape(byteCount: 64)
      switch way {
      case .floor:
        Thread.detachNewThread {
          _ = unsafe descriptors.withUnsafeBufferPointer {
            unsafe floor_echo_many($0.baseAddress, $0.count)
          }
        }
      case .reactor, .pool, .messaging1, .messaging2:
        let executor: (any TaskExecutor)? =
          switch way {
          case .reactor: ReactorExecutor.shared
          case .messaging1, .messaging2: MessagingExecutor.shared
          default: nil
          }
        if executor is MessagingExecutor {
          MessagingExecutor.shared.workerCount = way == .messaging1 ? 1 : 2
        }
        for descriptor in descriptors {
          let endpoint = try MessageDuplex(adopting: descriptor, framing: .varInt)
          Task.detached(executorPreference: executor) {
            for try await message in endpoint.messages { try await endpoint.send(message) }
          }
        }
      case .nio, .nio2:
        for descriptor in descriptors {
          let connection = try await NIOHandlerConnection(
            Ends(reading: descriptor, writing: descriptor), shape,
            on: way == .nio ? NIOSetup.group : NIOSetup.twoLoops)
          Task.detached { try await connection.echo() }
        }
      }
      try Control.answer("ok")
      try await onThread {
        while Control.nextOrder() != nil { try Control.answer("\(floor_processor_time())") }
      }
    }
  }

  /// The C process at the other end of many connections.
  struct Load: ParsableCommand {
    @Option var name: String
    @Option var connections: Int
    @OptionGroup var frames: FrameOptions

    func run() throws {
      _ = floor_raise_descriptor_limit(UInt64(connections + 100))
      try checked(
        "load",
        unsafe floor_load(name, connections, frames.header.native, frames.size, PeerCommand.control))
    }
  }
}

extension ServerContender.Way: ExpressibleByArgument {
  init?(argument: String) {
    guard let way = Self.allCases.first(where: { "\($0)" == argument }) else { return nil }
    self = way
  }
}
