internal import ArgumentParser
internal import CFloor
internal import Foundation
internal import NIOCore
internal import SWMessaging

extension ConnectingContender.Way: ExpressibleByArgument {
  init?(argument: String) {
    guard let way = Self.allCases.first(where: { "\($0)" == argument }) else { return nil }
    self = way
  }
}

extension PeerCommand {
  /// Listens, prints its address, and answers the message of each client, until there are no more orders.
  struct Answer: AsyncParsableCommand {
    @Option var `as`: ConnectingContender.Way

    func run() async throws { try await Self.answer(`as`) }

    @concurrent
    private static func answer(_ way: ConnectingContender.Way) async throws {
      switch way {
      case .floor:
        var name = [CChar](repeating: 0, count: 108)
        let listener = try checked(
          "listen", unsafe name.withUnsafeMutableBufferPointer { unsafe floor_listen($0.baseAddress) })
        Thread.detachNewThread { _ = floor_answer_each(listener) }
        try Control.answer(
          String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        try await onThread { while Control.nextOrder() != nil {} }
      case .blocking, .reactor, .serve, .pool:
        let listener = try Listener(.abstract(""), framing: .varInt)
        begin(way, listener)
        try Control.answer(listener.address.description)
        try await onThread { while Control.nextOrder() != nil {} }
      case .nio:
        let path = NSTemporaryDirectory() + "swbench-\(getpid())"
        let channel = try await NIOConnecting.listen(path)
        try Control.answer(path)
        try await onThread { while Control.nextOrder() != nil {} }
        try? await channel.close()
        _ = unsafe unlink(path)
      case .python: break
      }
    }

    private static func begin(
      _ way: ConnectingContender.Way, _ listener: Listener<MessageDuplex<VarIntFraming>>
    ) {
      switch way {
      case .blocking: Thread.detachNewThread { try? serveBlocking(listener) }
      case .reactor:
        Task.detached(executorPreference: ReactorExecutor.shared) {
          for try await peer in listener.connections {
            if let message = try? await peer.next() { try? await peer.send(message) }
            _ = try? await peer.next()
            peer.close()
          }
        }
      default:
        let executor: ReactorExecutor? = way == .serve ? ReactorExecutor.shared : nil
        Task.detached(executorPreference: executor) {
          try await listener.serve(on: executor) { peer in
            for try await message in peer.messages { try await peer.send(message) }
          }
        }
      }
    }

    @available(*, noasync)
    private static func serve(blocking listener: Listener<MessageDuplex<VarIntFraming>>) throws {
      while true {
        let peer = try listener.blocking.accept()
        while let message = try? peer.blocking.next() { try? peer.blocking.send(message) }
        peer.close()
      }
    }

    private static let serveBlocking: @Sendable (Listener<MessageDuplex<VarIntFraming>>) throws -> Void = {
      try serve(blocking: $0)
    }
  }
}
