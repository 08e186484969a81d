/// Round trips between two processes of the same library; and with a C process at the other end, which shows
/// one end's cost alone.
enum RoundTrips {
  private static let most: [Contestant] = [
    .floor, .blockingBorrowed, .blocking, .reactor, .messaging, .pool, .nio, .nioAsync, .flying,
  ]
  private static let all: [Contestant] = [
    .floor, .blockingBorrowed, .blocking, .blockingExact, .blockingSpinning, .reactorBorrowed, .reactor,
    .reactorForAwait,
    .reactorExact, .messaging, .messagingForAwait, .messagingSpinning, .poolBorrowed, .pool, .poolForAwait,
    .nio, .nioAsync, .flying,
  ]

  /// The benchmark whose figures repeat. Otherwise the kernel decides whether both ends share a processor.
  static let onOneProcessor = "round-trip/64B/one-processor"

  /// The kernel places the ends, on two processors where there are two.
  static let onTwoProcessors = "round-trip/64B/socketpair"

  static var benchmarks: [Benchmark] {
    var benchmarks: [Benchmark] = []
    for transport in Transport.allCases {
      for size in [64, 4096, 65_536] {
        let isFull = size == 64 && transport == .socketPair
        benchmarks.append(benchmark(isFull ? all : most, size, transport, peerIsC: false))
      }
    }
    benchmarks.append(benchmark(most, 64, .socketPair, peerIsC: true))
    var pinned = benchmark(all, 64, .socketPair, peerIsC: false)
    pinned.name = onOneProcessor
    pinned.title += ", both ends on one processor"
    pinned.isPinned = true
    return [pinned] + benchmarks
  }

  private static func benchmark(
    _ contestants: [Contestant], _ size: Int, _ transport: Transport, peerIsC: Bool
  ) -> Benchmark {
    let shape = Shape(byteCount: size)
    let contenders: [any Contender] = contestants.filter { $0.canUse(transport) }.map {
      ConnectionContender($0, .roundTrip(peerIsC ? .c : .alike), transport, shape)
    }
    let python = PythonContender.all(.roundTrip, transport, shape, isFull: contestants.count == all.count)
    let kind = peerIsC ? "round-trip-to-c" : "round-trip"
    return Benchmark(
      name: "\(kind)/\(size.bytes)/\(transport.rawValue)",
      title: "Round trip, \(size.bytesTitle), \(transport.rawValue)"
        + (peerIsC ? ", a C peer at the other end" : ""),
      unit: "round trip", byteCount: size, hasLatencies: true,
      contenders: contenders + (peerIsC ? [] : python),
      peers: Benchmark.usualPeers + (peerIsC ? [] : ["Python multiprocessing"]))
  }
}

extension Benchmark {
  static let usualPeers = ["SwiftNIO handlers", "NIOAsyncChannel", "FlyingSocks"]
}

extension Int {
  /// The same in the form of titles: `64 B`.
  var bytesTitle: String {
    let name = bytes
    let digits = name.prefix(while: \.isNumber)
    return "\(digits) \(name.dropFirst(digits.count))"
  }

  /// A size in bytes, for names: `64B`, `4KiB`.
  var bytes: String {
    if self >= 1 << 20, self % (1 << 20) == 0 { return "\(self >> 20)MiB" }
    if self >= 1 << 10, self % (1 << 10) == 0 { return "\(self >> 10)KiB" }
    return "\(self)B"
  }
}
