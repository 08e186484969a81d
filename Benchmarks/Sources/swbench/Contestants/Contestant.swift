internal import ArgumentParser
internal import SWMessaging

/// A measured library, and how it is used.
enum Contestant: String, CaseIterable, ExpressibleByArgument, Sendable {
  case floor
  case blocking
  case blockingBorrowed = "blocking-borrowed"
  case blockingExact = "blocking-exact"
  case blockingSpinning = "blocking-spinning"
  case reactor
  case reactorBorrowed = "reactor-borrowed"
  case reactorForAwait = "reactor-for-await"
  case reactorExact = "reactor-exact"
  case messaging
  case messagingForAwait = "messaging-for-await"
  case messagingBatches = "messaging-batches"
  case messagingBorrowedBatches = "messaging-borrowed-batches"
  case messagingSpinning = "messaging-spinning"
  case pool
  case poolBorrowed = "pool-borrowed"
  case poolForAwait = "pool-for-await"
  case poolBorrowedBatches = "pool-borrowed-batches"
  case poolBatches = "pool-batches"
  case nio
  case nioAsync = "nio-async"
  case flying

  /// The name in tables.
  var title: String {
    switch self {
    case .floor: "C floor"
    case .blocking: "blocking, [UInt8]"
    case .blockingBorrowed: "blocking, borrowed"
    case .blockingExact: "blocking, [UInt8], exact"
    case .blockingSpinning: "blocking, [UInt8], spinning"
    case .reactor: "async on the reactor, [UInt8]"
    case .reactorBorrowed: "async on the reactor, borrowed"
    case .reactorForAwait: "async on the reactor, for try await"
    case .reactorExact: "async on the reactor, [UInt8], exact"
    case .messaging: "async on .messaging, [UInt8]"
    case .messagingForAwait: "async on .messaging, for try await"
    case .messagingBatches: "async on .messaging, batches of [UInt8]"
    case .messagingBorrowedBatches: "async on .messaging, borrowed batches"
    case .messagingSpinning: "async on .messaging, [UInt8], spinning"
    case .pool: "async, default executor, [UInt8]"
    case .poolBorrowed: "async, default executor, borrowed"
    case .poolForAwait: "async, default executor, for try await"
    case .poolBatches: "async, default executor, batches of [UInt8]"
    case .poolBorrowedBatches: "async, default executor, borrowed batches"
    case .nio: "SwiftNIO handlers"
    case .nioAsync: "NIOAsyncChannel"
    case .flying: "FlyingSocks"
    }
  }

  var isOurs: Bool {
    switch self {
    case .floor, .nio, .nioAsync, .flying: false
    default: true
    }
  }

  /// The form in which it writes a length.
  var header: FrameHeader {
    switch self {
    case .nio, .nioAsync, .flying: .uint32
    default: .varInt
    }
  }

  /// FlyingSocks supports sockets only.
  func canUse(_ transport: Transport) -> Bool { self != .flying || transport != .pipes }

  /// Opens an end of a connection with this library.
  func open(_ ends: Ends, _ shape: Shape) async throws -> any Connection {
    switch self {
    case .floor: try CConnection(ends, shape)
    case .blocking: try OwnBlocking(ends, shape, mode: .readAhead, isBorrowing: false)
    case .blockingBorrowed: try OwnBlocking(ends, shape, mode: .readAhead, isBorrowing: true)
    case .blockingExact: try OwnBlocking(ends, shape, mode: .exact, isBorrowing: false)
    case .blockingSpinning:
      try OwnBlocking(ends, shape, mode: .readAhead, isBorrowing: false, isSpinning: true)
    case .reactor: try OwnAsync(ends, shape, manner: .bytes, on: .reactor)
    case .reactorBorrowed: try OwnAsync(ends, shape, manner: .borrowed, on: .reactor)
    case .reactorForAwait: try OwnAsync(ends, shape, manner: .forAwait, on: .reactor)
    case .reactorExact: try OwnAsync(ends, shape, mode: .exact, manner: .bytes, on: .reactor)
    case .messaging: try OwnAsync(ends, shape, manner: .bytes, on: .messaging)
    case .messagingForAwait: try OwnAsync(ends, shape, manner: .forAwait, on: .messaging)
    case .messagingBatches: try OwnAsync(ends, shape, manner: .batches, on: .messaging)
    case .messagingBorrowedBatches: try OwnAsync(ends, shape, manner: .borrowedBatches, on: .messaging)
    case .messagingSpinning: try OwnAsync(ends, shape, manner: .bytes, on: .messaging, isSpinning: true)
    case .poolBorrowedBatches: try OwnAsync(ends, shape, manner: .borrowedBatches)
    case .poolBatches: try OwnAsync(ends, shape, manner: .batches)
    case .pool: try OwnAsync(ends, shape, manner: .bytes)
    case .poolBorrowed: try OwnAsync(ends, shape, manner: .borrowed)
    case .poolForAwait: try OwnAsync(ends, shape, manner: .forAwait)
    case .nio: try await NIOHandlerConnection(ends, shape)
    case .nioAsync: try await NIOAsyncConnection(ends, shape)
    case .flying: try await FlyingConnection(ends, shape)
    }
  }
}
