internal import SWMessaging
internal import SystemPackage

/// This library, blocking.
struct OwnBlocking: Connection {
  let endpoint: MessageDuplex<VarIntFraming>
  let shape: Shape
  /// Whether messages are borrowed, or received as arrays.
  let isBorrowing: Bool

  init(_ ends: Ends, _ shape: Shape, mode: ReceiveMode, isBorrowing: Bool, isSpinning: Bool = false) throws {
    endpoint = try ends.endpoint(mode: mode)
    if isSpinning { endpoint.spinning = .spinTime }
    self.shape = shape
    self.isBorrowing = isBorrowing
  }

  func roundTrips(_ count: Int, recording latencies: Latencies) async throws {
    try await onThread {
      let message = shape.message
      latencies.begin()
      for _ in 0..<count {
        try endpoint.blocking.send(message)
        try UnexpectedSize.check(try take(), shape)
        latencies.lap()
      }
    }
  }

  func receive(_ count: Int) async throws {
    try await onThread {
      for _ in 0..<count { try UnexpectedSize.check(try take(), shape) }
    }
  }

  /// Receives one message, and returns its size.
  @available(*, noasync)
  private func take() throws -> Int {
    if isBorrowing { return try endpoint.blocking.withMessage { $0.count } }
    return try endpoint.blocking.receive().count
  }

  func send(_ count: Int) async throws {
    try await onThread {
      let message = shape.message
      if shape.perWrite == 1 {
        for _ in 0..<count { try endpoint.blocking.send(message) }
      } else {
        for batch in shape.batches(of: count) {
          try endpoint.blocking.send(contentsOf: repeatElement(message, count: batch))
        }
      }
    }
  }

  func echo() async throws {
    try await onThread {
      let answer = shape.message
      while true {
        if isBorrowing {
          do {
            _ = try endpoint.blocking.withMessage { $0.count }
          } catch let error as EndpointError where error.isEndOfStream {
            return
          }
          try endpoint.blocking.send(answer)
        } else {
          guard let message = try endpoint.blocking.next() else { return }
          try endpoint.blocking.send(message)
        }
      }
    }
  }

  func close() async { endpoint.close() }
}

extension Duration {
  /// How long contestants that spin look for an answer before they sleep.
  static var spinTime: Duration { .microseconds(50) }
}

extension EndpointError {
  var isEndOfStream: Bool {
    if case .endOfStream = reason { return true }
    return false
  }
}

extension Ends {
  /// An endpoint of this library over the ends.
  func endpoint(mode: ReceiveMode) throws -> MessageDuplex<VarIntFraming> {
    if isSocket { return try MessageDuplex(adopting: reading, framing: .varInt, mode: mode) }
    return try MessageDuplex(
      reading: FileDescriptor(rawValue: reading), writing: FileDescriptor(rawValue: writing),
      framing: .varInt, mode: mode)
  }
}
