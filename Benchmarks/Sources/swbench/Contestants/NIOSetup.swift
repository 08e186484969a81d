internal import NIOCore
internal import NIOExtras
internal import NIOPosix

/// The part that both manners of SwiftNIO share: one event loop thread, or two for a server, and the length-field framing
/// of NIOExtras.
enum NIOSetup {
  static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  static let twoLoops = MultiThreadedEventLoopGroup(numberOfThreads: 2)

  /// Opens a channel over the ends. `body` makes the last part of the pipeline and the result.
  static func open<Result: Sendable>(
    _ ends: Ends, on group: MultiThreadedEventLoopGroup = group,
    _ body: @escaping @Sendable (any Channel) throws -> Result
  ) async throws -> Result {
    let initializer: @Sendable (any Channel) -> EventLoopFuture<Result> = { prepare($0, body) }
    if ends.isSocket {
      return try await ClientBootstrap(group: group)
        .withConnectedSocket(ends.reading, channelInitializer: initializer)
    }
    return try await NIOPipeBootstrap(group: group)
      .takingOwnershipOfDescriptors(
        input: ends.reading, output: ends.writing, channelInitializer: initializer)
  }

  /// Adds the framing to a channel's pipeline, and the handlers of `body` behind it.
  static func prepare<Result: Sendable>(
    _ channel: any Channel, _ body: @escaping @Sendable (any Channel) throws -> Result
  ) -> EventLoopFuture<Result> {
    channel.eventLoop.makeCompletedFuture {
      try channel.pipeline.syncOperations.addHandlers([
        ByteToMessageHandler(LengthFieldBasedFrameDecoder(lengthFieldBitLength: .fourBytes)),
        LengthFieldPrepender(lengthFieldBitLength: .fourBytes),
      ])
      return try body(channel)
    }
  }

  static func message(_ shape: Shape, _ allocator: ByteBufferAllocator) -> ByteBuffer {
    var buffer = allocator.buffer(capacity: shape.byteCount)
    buffer.writeRepeatingByte(UInt8(ascii: "x"), count: shape.byteCount)
    return buffer
  }
}
