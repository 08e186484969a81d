/// Messages that go one way: received from a C process that writes each library's own framing, or sent to one.
enum OneWay {
  private static let receivers: [Contestant] = [
    .floor, .blockingBorrowed, .blocking, .blockingExact, .reactorBorrowed, .reactor, .reactorForAwait,
    .messaging, .messagingForAwait, .messagingBatches, .messagingBorrowedBatches, .poolBorrowed, .pool,
    .poolForAwait, .poolBatches, .poolBorrowedBatches, .nio, .nioAsync, .flying,
  ]
  private static let senders: [Contestant] = [.floor, .blocking, .reactor, .pool, .nio, .nioAsync, .flying]

  /// The end of a contender's title when the same library sends.
  static let bothEnds = ", both ends"

  /// The sizes of messages, and the number of messages in a write.
  static let shapes = [
    Shape(byteCount: 64), Shape(byteCount: 64, perWrite: 100), Shape(byteCount: 1024),
    Shape(byteCount: 65_536), Shape(byteCount: 1 << 20), Shape(byteCount: 16 << 20),
  ]

  static var benchmarks: [Benchmark] {
    shapes.map { benchmark(.receive(fromAlike: false), $0, receivers) }
      + shapes.map { benchmark(.send, $0, senders) } + [transfer]
  }

  /// The whole way within one library: a hundred messages handed over at a time.
  private static var transfer: Benchmark {
    let shape = Shape(byteCount: 64, perWrite: 100)
    let contestants: [Contestant] = [
      .floor, .blockingBorrowed, .blocking, .reactorForAwait, .poolForAwait, .nio, .nioAsync, .flying,
    ]
    return Benchmark(
      name: "transfer/64Bx100",
      title: "One way, the same library at both ends, 64 B, 100 handed over at a time",
      byteCount: 64,
      contenders: contestants.map {
        ConnectionContender($0, .receive(fromAlike: true), .socketPair, shape)
      } + PythonContender.all(.receive, .socketPair, shape, isFull: false),
      peers: Benchmark.usualPeers + ["Python multiprocessing"])
  }

  private static func benchmark(
    _ work: ConnectionContender.Work, _ shape: Shape, _ contestants: [Contestant]
  ) -> Benchmark {
    var contenders: [any Contender] = contestants.map {
      ConnectionContender($0, work, .socketPair, shape)
    }
    var isReceiving = false
    if case .receive = work { isReceiving = true }
    if !isReceiving, shape.perWrite > 1 {
      // A program that knows nothing of batches, and the best that can be done by hand.
      contenders[0] = ConnectionContender(
        .floor, work, .socketPair, Shape(byteCount: shape.byteCount), title: "C, one write a message")
      contenders.insert(
        ConnectionContender(
          .floor, work, .socketPair, shape, title: "C, one write of \(shape.perWrite) messages"), at: 1)
    }
    if isReceiving, shape.perWrite > 1 {
      // The goals were set with each library's own sender, so these rows are here, too.
      contenders += [Contestant.nio, .nioAsync].map {
        ConnectionContender(
          $0, .receive(fromAlike: true), .socketPair, shape, title: $0.title + bothEnds)
      }
    }
    contenders += PythonContender.all(
      isReceiving ? .receive : .send, .socketPair, shape, isFull: shape.byteCount == 64)
    let batch = shape.perWrite > 1 ? ", \(shape.perWrite) \(isReceiving ? "a write" : "a call")" : ""
    return Benchmark(
      name: "\(isReceiving ? "receive" : "send")/\(shape.byteCount.bytes)"
        + (shape.perWrite > 1 ? "x\(shape.perWrite)" : ""),
      title: "One way, \(isReceiving ? "receiving" : "sending"), \(shape.byteCount.bytesTitle)\(batch)",
      byteCount: shape.byteCount, contenders: contenders,
      peers: Benchmark.usualPeers + ["Python multiprocessing"])
  }
}
