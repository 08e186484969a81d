internal import ArgumentParser
internal import SWMessaging

/// A measured library, and how it is used.
enum Contestant: String, CaseIterable, ExpressibleByArgument, Sendable {
  case floor
  case blocking
  case blockingBorrowed = "blocking-borrowed"
  case blockingExact = "blocking-exact"
  case reactor
  case reactorBorrowed = "reactor-borrowed"
  case reactorForAwait = "reactor-for-await"
  case reactorExact = "reactor-exact"
  case pool
  case poolBorrowed = "pool-borrowed"
  case poolForAwait = "pool-for-await"
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
    case .reactor: "async on the reactor, [UInt8]"
    case .reactorBorrowed: "async on the reactor, borrowed"
    case .reactorForAwait: "async on the reactor, for try await"
    case .reactorExact: "async on the reactor, [UInt8], exact"
    case .pool: "async, default executor, [UInt8]"
    case .poolBorrowed: "async, default executor, borrowed"
    case .poolForAwait: "async, default executor, for try await"
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
    case .reactor: try OwnAsync(ends, shape, mode: .readAhead, manner: .bytes, isOnReactor: true)
    case .reactorBorrowed: try OwnAsync(ends, shape, mode: .readAhead, manner: .borrowed, isOnReactor: true)
    case .reactorForAwait: try OwnAsync(ends, shape, mode: .readAhead, manner: .forAwait, isOnReactor: true)
    case .reactorExact: try OwnAsync(ends, shape, mode: .exact, manner: .bytes, isOnReactor: true)
    case .pool: try OwnAsync(ends, shape, mode: .readAhead, manner: .bytes, isOnReactor: false)
    case .poolBorrowed: try OwnAsync(ends, shape, mode: .readAhead, manner: .borrowed, isOnReactor: false)
    case .poolForAwait: try OwnAsync(ends, shape, mode: .readAhead, manner: .forAwait, isOnReactor: false)
    case .nio: try await NIOHandlerConnection(ends, shape)
    case .nioAsync: try await NIOAsyncConnection(ends, shape)
    case .flying: try await FlyingConnection(ends, shape)
    }
  }
}
