internal import NIOCore
internal import NIOPosix

/// SwiftNIO, channel handlers: everything happens on the event loop's thread.
struct NIOHandlerConnection: Connection {
  let channel: any Channel

  /// Over a channel that has a ``NIODriver``.
  init(channel: any Channel) { self.channel = channel }

  init(
    _ ends: Ends, _ shape: Shape, on group: MultiThreadedEventLoopGroup = NIOSetup.group
  ) async throws {
    channel = try await NIOSetup.open(ends, on: group) { channel in
      try channel.pipeline.syncOperations.addHandler(NIODriver(shape))
      return channel
    }
  }

  private func perform(_ work: NIODriver.Work) async throws {
    let promise = channel.eventLoop.makePromise(of: Void.self)
    channel.triggerUserOutboundEvent(NIODriver.Order(work: work, done: promise), promise: nil)
    try await promise.futureResult.get()
  }

  func roundTrips(_ count: Int, recording latencies: Latencies) async throws {
    try await perform(.roundTrips(count, latencies))
  }

  func receive(_ count: Int) async throws { try await perform(.receive(count)) }
  func send(_ count: Int) async throws { try await perform(.send(count)) }
  func echo() async throws { try await perform(.echo) }
  func close() async { try? await channel.close() }
}

/// The last handler of the pipeline, which carries out orders.
final class NIODriver: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  enum Work: Sendable {
    case roundTrips(Int, Latencies)
    case receive(Int)
    case send(Int)
    case echo
  }

  struct Order: Sendable {
    var work: Work
    var done: EventLoopPromise<Void>
  }

  private let shape: Shape
  private var order: Order?
  private var left = 0
  /// Messages that came before the order to take them.
  private var early: [ByteBuffer] = []
  private var message = ByteBuffer()

  init(_ shape: Shape) { self.shape = shape }

  func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?)
  {
    guard let order = event as? Order else {
      return context.triggerUserOutboundEvent(event, promise: promise)
    }
    promise?.succeed()
    self.order = order
    message = NIOSetup.message(shape, context.channel.allocator)
    switch order.work {
    case .roundTrips(let count, let latencies):
      left = count
      latencies.begin()
      context.writeAndFlush(wrapOutboundOut(message), promise: nil)
    case .receive(let count):
      left = count - early.count
      early = []
      if left == 0 { finish() }
    case .send(let count):
      left = count
      sendMore(context)
    case .echo:
      for frame in early { context.write(wrapOutboundOut(frame), promise: nil) }
      early = []
      context.flush()
    }
  }

  /// Writes while the channel is writable. The promise of the last batch reports the end.
  private func sendMore(_ context: ChannelHandlerContext) {
    while left > 0, context.channel.isWritable {
      let batch = min(left, shape.perWrite)
      for _ in 1..<batch { context.write(wrapOutboundOut(message), promise: nil) }
      left -= batch
      let last = left == 0 ? order?.done : nil
      if last != nil { order = nil }
      context.writeAndFlush(wrapOutboundOut(message), promise: last)
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if case .send = order?.work { sendMore(context) }
    context.fireChannelWritabilityChanged()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    guard frame.readableBytes == shape.byteCount else {
      return fail(UnexpectedSize(expected: shape.byteCount, found: frame.readableBytes))
    }
    switch order?.work {
    case .roundTrips(_, let latencies):
      latencies.lap()
      left -= 1
      if left == 0 { return finish() }
      context.writeAndFlush(wrapOutboundOut(message), promise: nil)
    case .receive:
      left -= 1
      if left == 0 { finish() }
    case .echo:
      context.write(wrapOutboundOut(frame), promise: nil)
    case .send, nil:
      early.append(frame)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if case .echo = order?.work { context.flush() }
    context.fireChannelReadComplete()
  }

  func channelInactive(context: ChannelHandlerContext) {
    if case .echo = order?.work { finish() } else { fail(UnexpectedEnd()) }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    fail(error)
    context.close(promise: nil)
  }

  private func finish() {
    let done = order?.done
    order = nil
    done?.succeed()
  }

  private func fail(_ error: any Error) {
    let done = order?.done
    order = nil
    done?.fail(error)
  }
}
