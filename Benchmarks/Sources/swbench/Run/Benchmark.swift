/// A named piece of work, and the contenders that do it side by side.
struct Benchmark: Sendable {
  /// The kind and the sizes, separated by slashes: `round-trip/64B/socketpair`.
  var name: String
  /// The heading of its tables.
  var title: String
  /// The unit of a figure.
  var unit = "message"
  /// The measured quantity: time, unless said otherwise.
  var measure = "ns"
  /// The bytes of payload of one operation, if a throughput in bytes makes sense.
  var byteCount = 0
  /// Whether each operation's latency is recorded.
  var hasLatencies = false
  /// The contenders. The others are compared with the first one, unless `comparisons` says otherwise.
  var contenders: [any Contender]
  /// The titles of peers that get a column of ratios each.
  var peers: [String] = []
  /// The columns of ratios. Nil for one to the first contender, with the spread, and one to each peer.
  var comparisons: [Comparison]?
  /// Whether both ends share one processor.
  var isPinned = false
  /// Whether it runs only if named, because it shows a failure.
  var isHidden = false
  /// The number of rounds, and the length of one. Nil for those of the run.
  var rounds: Int?
  var roundSeconds: Double?
}

extension Benchmark {
  var columns: [Comparison] {
    if let comparisons { return comparisons }
    let titles = contenders.map(\.title)
    guard let first = titles.first else { return [] }
    return [Comparison(to: first, for: titles, hasSpread: true)]
      + peers.filter(titles.contains).map { Comparison(to: $0, for: titles) }
  }
}

/// The result of one contender in one round.
struct Round: Sendable {
  var operations: Int
  /// Nanoseconds, or the benchmark's own measure.
  var amount: Double
  /// Figures beside the time, by name.
  var extras: [String: Double] = [:]

  var perOperation: Double { amount / Double(max(operations, 1)) }
}

/// A participant in a benchmark.
protocol Contender: Sendable {
  var title: String { get }
  /// Prepares: starts the peer, opens the end.
  func prepare() async throws
  /// Carries out a number of operations.
  func round(_ operations: Int) async throws -> Round
  /// Ends its peer.
  func finish() async
  /// How the peer ended, with what it wrote to its standard error, after a failure.
  var peerFate: String { get }
  var latencies: Latencies? { get }
  /// Whether more operations make a longer round; otherwise one round is one fixed piece of work.
  var isScalable: Bool { get }
  /// Ends work that may hang.
  func interrupt()
}

extension Contender {
  var peerFate: String { "" }
  var latencies: Latencies? { nil }
  var isScalable: Bool { true }
  func interrupt() {}
}

/// A contender that cannot take part on this machine, which is no failure.
struct Unavailable: Error, CustomStringConvertible {
  var description: String
}
