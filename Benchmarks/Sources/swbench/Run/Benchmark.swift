/// A named piece of work, and who does it side by side.
struct Benchmark: Sendable {
  /// Slashes separate what it is from its sizes: `round-trip/64B/socketpair`.
  var name: String
  /// The heading of its tables.
  var title: String
  /// The unit of a figure.
  var unit = "message"
  /// The measured quantity: time, unless said otherwise.
  var measure = "ns"
  /// Bytes of payload of one operation, where a throughput in bytes makes sense.
  var byteCount = 0
  /// Whether each operation's latency is recorded.
  var hasLatencies = false
  /// The first is whom the others are set against, unless `comparisons` says otherwise.
  var contenders: [any Contender]
  /// Peers, by title, which get a column of ratios each.
  var peers: [String] = []
  /// The columns of ratios; nil: to the first contender, with the spread, and to each peer.
  var comparisons: [Comparison]?
  /// Both ends share one processor.
  var isPinned = false
  /// Not run unless named: it shows what a failure looks like.
  var isHidden = false
  /// How many rounds, and how long one lasts; nil: as the run has it.
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
  /// Nanoseconds, or whatever the benchmark measures.
  var amount: Double
  /// Figures beside the time, by name.
  var extras: [String: Double] = [:]

  var perOperation: Double { amount / Double(max(operations, 1)) }
}

/// A participant in a benchmark.
protocol Contender: Sendable {
  var title: String { get }
  /// Gets ready: starts its peer, opens its end.
  func prepare() async throws
  /// Carries out so many operations.
  func round(_ operations: Int) async throws -> Round
  /// Ends its peer.
  func finish() async
  /// How the peer ended, with what it wrote to its standard error, after a failure.
  var peerFate: String { get }
  var latencies: Latencies? { get }
  /// Whether more operations make a longer round; otherwise one round is one fixed piece of work.
  var isScalable: Bool { get }
  /// Ends what may hang.
  func interrupt()
}

extension Contender {
  var peerFate: String { "" }
  var latencies: Latencies? { nil }
  var isScalable: Bool { true }
  func interrupt() {}
}

/// A contender cannot take part on this machine; not a failure.
struct Unavailable: Error, CustomStringConvertible {
  var description: String
}
