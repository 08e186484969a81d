internal import SWMessaging

/// This library, async.
struct OwnAsync: Connection {
  /// How messages are received.
  enum Manner: Sendable {
    case bytes
    case borrowed
    case forAwait
    /// As many as have come, with each call.
    case batches
    /// The same, borrowed.
    case borrowedBatches
  }

  let endpoint: MessageDuplex<VarIntFraming>
  let shape: Shape
  let manner: Manner
  /// Where its tasks run; nil: on the pool.
  let executor: (any TaskExecutor)?

  init(
    _ ends: Ends, _ shape: Shape, mode: ReceiveMode = .readAhead, manner: Manner,
    on executor: (any TaskExecutor)? = nil, isSpinning: Bool = false
  ) throws {
    // A process has one contestant.
    if isSpinning { MessagingExecutor.shared.spinning = .spinTime }
    endpoint = try ends.endpoint(mode: mode)
    self.shape = shape
    self.manner = manner
    self.executor = executor
  }

  @concurrent
  private func there<Result: Sendable>(_ body: @Sendable () async throws -> Result) async throws -> Result {
    try await withTaskExecutorPreference(executor) { try await body() }
  }

  func roundTrips(_ count: Int, recording latencies: Latencies) async throws {
    try await there {
      let message = shape.message
      latencies.begin()
      switch manner {
      case .bytes, .batches, .borrowedBatches:
        for _ in 0..<count {
          try await endpoint.send(message)
          try UnexpectedSize.check(try await endpoint.receive().count, shape)
          latencies.lap()
        }
      case .borrowed:
        for _ in 0..<count {
          try await endpoint.send(message)
          try UnexpectedSize.check(try await endpoint.withMessage { $0.count }, shape)
          latencies.lap()
        }
      case .forAwait:
        var left = count
        try await endpoint.send(message)
        for try await answer in endpoint.messages {
          try UnexpectedSize.check(answer.count, shape)
          latencies.lap()
          left -= 1
          if left == 0 { return }
          try await endpoint.send(message)
        }
        throw UnexpectedEnd()
      }
    }
  }

  func receive(_ count: Int) async throws {
    try await there {
      switch manner {
      case .bytes:
        for _ in 0..<count { try UnexpectedSize.check(try await endpoint.receive().count, shape) }
      case .borrowed:
        for _ in 0..<count {
          try UnexpectedSize.check(try await endpoint.withMessage { $0.count }, shape)
        }
      case .forAwait:
        var left = count
        for try await message in endpoint.messages {
          try UnexpectedSize.check(message.count, shape)
          left -= 1
          if left == 0 { return }
        }
        throw UnexpectedEnd()
      case .batches:
        var left = count
        for try await batch in endpoint.batches() {
          for message in batch { try UnexpectedSize.check(message.count, shape) }
          left -= batch.count
          if left <= 0 { return }
        }
        throw UnexpectedEnd()
      case .borrowedBatches:
        var left = count
        while left > 0 {
          left -= try await endpoint.withMessages { try UnexpectedSize.check($0.count, shape) }
        }
      }
    }
  }

  func send(_ count: Int) async throws {
    try await there {
      let message = shape.message
      if shape.perWrite == 1 {
        for _ in 0..<count { try await endpoint.send(message) }
      } else {
        for batch in shape.batches(of: count) {
          try await endpoint.send(contentsOf: repeatElement(message, count: batch))
        }
      }
    }
  }

  func echo() async throws {
    try await there {
      switch manner {
      case .bytes, .batches, .borrowedBatches:
        while let message = try await endpoint.next() { try await endpoint.send(message) }
      case .borrowed:
        let answer = shape.message
        do {
          while true {
            _ = try await endpoint.withMessage { $0.count }
            try await endpoint.send(answer)
          }
        } catch let error as EndpointError where error.isEndOfStream {
          return
        }
      case .forAwait:
        for try await message in endpoint.messages { try await endpoint.send(message) }
      }
    }
  }

  func close() async { endpoint.close() }
}
