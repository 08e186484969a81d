internal import NIOCore
internal import NIOPosix

/// SwiftNIO, NIOAsyncChannel: one task holds the channel and carries out orders.
final class NIOAsyncConnection: Connection {
  private enum Work: Sendable {
    case roundTrips(Int, Latencies)
    case receive(Int)
    case send(Int)
    case echo
  }

  private struct Order: Sendable {
    var work: Work
    var done: CheckedContinuation<Void, any Error>
  }

  private let orders: AsyncStream<Order>.Continuation
  private let task: Task<Void, Never>

  init(_ ends: Ends, _ shape: Shape) async throws {
    let channel = try await NIOSetup.open(ends) { channel in
      try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
    }
    let (stream, continuation) = AsyncStream.makeStream(of: Order.self)
    orders = continuation
    task = Task.detached {
      try? await channel.executeThenClose { inbound, outbound in
        var iterator = inbound.makeAsyncIterator()
        for await order in stream {
          do {
            try await Self.perform(order.work, shape, &iterator, outbound)
            order.done.resume()
          } catch {
            order.done.resume(throwing: error)
          }
        }
      }
    }
  }

  @concurrent
  private static func perform(
    _ work: Work, _ shape: Shape, _ inbound: inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
    _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
  ) async throws {
    let message = NIOSetup.message(shape, ByteBufferAllocator())
    switch work {
    case .roundTrips(let count, let latencies):
      latencies.begin()
      for _ in 0..<count {
        try await outbound.write(message)
        guard let answer = try await inbound.next() else { throw UnexpectedEnd() }
        try UnexpectedSize.check(answer.readableBytes, shape)
        latencies.lap()
      }
    case .receive(let count):
      for _ in 0..<count {
        guard let message = try await inbound.next() else { throw UnexpectedEnd() }
        try UnexpectedSize.check(message.readableBytes, shape)
      }
    case .send(let count):
      if shape.perWrite == 1 {
        for _ in 0..<count { try await outbound.write(message) }
      } else {
        for batch in shape.batches(of: count) {
          try await outbound.write(contentsOf: repeatElement(message, count: batch))
        }
      }
    case .echo:
      while let message = try await inbound.next() { try await outbound.write(message) }
    }
  }

  private func perform(_ work: Work) async throws {
    try await withCheckedThrowingContinuation { orders.yield(Order(work: work, done: $0)) }
  }

  func roundTrips(_ count: Int, recording latencies: Latencies) async throws {
    try await perform(.roundTrips(count, latencies))
  }

  func receive(_ count: Int) async throws { try await perform(.receive(count)) }
  func send(_ count: Int) async throws { try await perform(.send(count)) }
  func echo() async throws { try await perform(.echo) }

  func close() async {
    orders.finish()
    await task.value
  }
}
