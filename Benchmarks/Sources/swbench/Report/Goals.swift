/// The goals of the project, compared with the results of a run.
struct Goal: Sendable {
  enum Requirement: Sendable {
    /// At most this multiple of the other's time.
    case atMost(Double)
    /// At least this many times faster than the other.
    case fasterBy(Double)
  }

  struct Part: Sendable {
    var benchmark: String
    var contender: Contestant
    var other: String
    var requirement: Requirement
  }

  var work: String
  var parts: [Part]
}

extension Goal {
  static func parts(
    _ benchmark: String, _ contender: Contestant, _ requirements: (String, Requirement)...
  ) -> [Part] {
    requirements.map {
      Part(benchmark: benchmark, contender: contender, other: $0.0, requirement: $0.1)
    }
  }

  private static let (floor, nio, nioAsync, flying) = (
    "C floor", "SwiftNIO handlers", "NIOAsyncChannel", "FlyingSocks"
  )
  private static let batches = "receive/64Bx100"
  private static let (pair, apart) = (RoundTrips.onOneProcessor, RoundTrips.onTwoProcessors)

  /// The goals that compare two contenders of one benchmark.
  static var all: [Goal] {
    [
      Goal(
        work: "64 B round trip, blocking, one processor",
        parts: parts(pair, .blocking, (floor, .atMost(1.3)))),
      Goal(work: "… two processors", parts: parts(apart, .blocking, (floor, .atMost(1.5)))),
      Goal(
        work: "64 B round trip, async, `.messaging`, one processor",
        parts: parts(
          pair, .messaging, (floor, .atMost(1.6)), (nio, .fasterBy(1.4)), (nioAsync, .fasterBy(4)))),
      Goal(
        work: "… two processors",
        parts: parts(
          apart, .messaging, (floor, .atMost(1.7)), (nio, .fasterBy(1.4)), (nioAsync, .fasterBy(4)))),
      Goal(
        work: "64 B round trip, spinning, two processors: blocking",
        parts: parts(apart, .blockingSpinning, (floor, .atMost(0.5)))),
      Goal(work: "… async, `.messaging`", parts: parts(apart, .messagingSpinning, (floor, .atMost(0.5)))),
      Goal(
        work: "64 B round trip, async, reactor executor",
        parts: parts(
          pair, .reactor, (floor, .atMost(1.4)), (nio, .fasterBy(1.3)), (nioAsync, .fasterBy(3)))),
      Goal(
        work: "64 B round trip, async, default executor",
        parts: parts(pair, .pool, (floor, .atMost(2)), (nioAsync, .fasterBy(2)))),
      Goal(
        work: "64 B one way, sender writing 100 at a time: borrowed receive",
        parts: parts(
          batches, .blockingBorrowed, (nio + OneWay.bothEnds, .fasterBy(20)), (nio, .fasterBy(20)))),
      Goal(
        work: "… as `[UInt8]`, blocking",
        parts: parts(batches, .blocking, (nio + OneWay.bothEnds, .fasterBy(5)), (nio, .fasterBy(5)))),
      Goal(
        work: "… `for try await`",
        parts: parts(
          batches, .poolForAwait, (nioAsync + OneWay.bothEnds, .fasterBy(8)), (nioAsync, .fasterBy(8)))),
      Goal(
        work: "… async `receive()`, default executor", parts: parts(batches, .pool, (flying, .atMost(1)))),
      Goal(
        work: "… `for try await`, default executor",
        parts: parts(batches, .poolForAwait, (flying, .atMost(1)))),
      Goal(
        work: "… async, a batch of arrays a call, default executor",
        parts: parts(batches, .poolBatches, (flying, .atMost(1)))),
      Goal(
        work: "… async, a borrowed batch a call, default executor",
        parts: parts(batches, .poolBorrowedBatches, (flying, .atMost(0.5)))),
      Goal(
        work: "64 B `send(contentsOf:)`, 100 at a time, socket",
        parts: parts("send/64Bx100", .blocking, ("C, one write a message", .fasterBy(15)))),
      Goal(
        work: "1 MiB messages one way, as `[UInt8]`",
        parts: parts("receive/1MiB", .blocking, (floor, .atMost(1 / 0.95)))),
    ]
  }
}

/// A goal's row: what was measured, and whether it is reached.
struct GoalRow: Codable, Sendable {
  var work: String
  var goal: String
  var measured: String
  var isReached: Bool?

  /// Whether it has any figure.
  var isMeasured: Bool { measured.contains(where: \.isNumber) }
}

extension Report {
  var goals: [GoalRow] {
    Goal.all.map(row) + [
      sendersRow("threads"), sendersRow("tasks"), connectionsRow, scaleRow, connectRow, idleRow, pythonRow,
    ]
      + CodingGoal.all.map(codingRow) + ["decode", "encode"].map(pickleRow)
  }

  private func result(_ name: String) -> BenchmarkResult? { results.first { $0.name == name } }

  private func ratio(_ benchmark: String, _ contender: String, _ other: String) -> Spread? {
    result(benchmark)?.row(contender)?.ratios[other]
  }

  private func row(_ goal: Goal) -> GoalRow {
    var goals: [String] = []
    var figures: [String] = []
    var reached: [Bool?] = []
    for part in goal.parts {
      let ratio = ratio(part.benchmark, part.contender.title, part.other)
      switch part.requirement {
      case .atMost(let limit):
        goals.append("≤ \(limit.ratio) × \(part.other)")
        figures.append(ratio.map { "\($0.median.ratio) ×" } ?? "not measured")
        reached.append(ratio.map { $0.median <= limit })
      case .fasterBy(let factor):
        goals.append("≥ \(factor.ratio) × faster than \(part.other)")
        figures.append(ratio.map { "\((1 / $0.median).ratio) × faster" } ?? "not measured")
        reached.append(ratio.map { 1 / $0.median >= factor })
      }
    }
    return GoalRow(
      work: goal.work, goal: goals.joined(separator: ", "), measured: figures.joined(separator: ", "),
      isReached: reached.all)
  }

  private func sendersRow(_ kind: String) -> GoalRow {
    typealias Way = SendersContender.Way
    let (own, lock): (Way, Way) =
      kind == "threads" ? (.threadsOwn, .threadsLock) : (.tasksOwn, .tasksLock)
    let ratios = [8, 64].map { ratio("senders/\(kind)/\($0)", own.rawValue, lock.rawValue)?.median }
    return GoalRow(
      work: "8 or 64 senders on one endpoint, \(kind), each awaited", goal: "≤ 1 × \(lock.rawValue)",
      measured: ratios.map { $0.map { "\($0.ratio) ×" } ?? "not measured" }.joined(separator: ", "),
      isReached: ratios.map { $0.map { $0 <= 1 } }.all)
  }

  private var connectionsRow: GoalRow {
    let ways: [ServerContender.Way] = [.reactor, .pool]
    let ratios = ways.map {
      ratio("connections/busy", ServerContender.title($0, 10_000), ServerContender.title($0, 10))?.median
    }
    let processor = ways.map { way -> Double? in
      let figures = [10_000, 10].map {
        result("connections/busy")?.row(ServerContender.title(way, $0))?.extras["processor ns"]?.median
      }
      guard let many = figures[0], let few = figures[1] else { return nil }
      return many / few
    }
    func list(_ ratios: [Double?]) -> String {
      ratios.map { $0.map { "\($0.ratio) ×" } ?? "not measured" }.joined(separator: ", ")
    }
    return GoalRow(
      work: "10,000 connections against 10: reactor, default executor", goal: "cost a message ≤ 1.25 ×",
      measured: "\(list(ratios)); of processor time \(list(processor))",
      isReached: ratios.map { $0.map { $0 <= 1.25 } }.all)
  }

  private var scaleRow: GoalRow {
    func figure(_ way: ServerContender.Way) -> Double? {
      result("connections/busy")?.row(ServerContender.title(way, 1000))?.figure?.median
    }
    let ratios = [ServerContender.Way.messaging1, .nio2].map { other -> Double? in
      guard let one = figure(other), let two = figure(.messaging2) else { return nil }
      return one / two
    }
    func text(_ ratio: Double?) -> String { ratio.map { "\($0.ratio) ×" } ?? "not measured" }
    return GoalRow(
      work: "1,000 connections echoing, `.messaging` with 2 workers",
      goal: "≥ 1.6 × the throughput of 1 worker, ≥ 1.5 × that of NIO with 2 loops",
      measured: ratios.map(text).joined(separator: ", "),
      isReached: zip(ratios, [1.6, 1.5]).map { ratio, least in ratio.map { $0 >= least } }.all)
  }

  private var connectRow: GoalRow {
    let own = ConnectingContender.Way.blocking.rawValue
    let parts: [(ConnectingContender.Way, Double)] = [(.floor, 0.8), (.nio, 2), (.python, 3)]
    let factors = parts.map { ratio("listening/connect", own, $0.0.rawValue).map { 1 / $0.median } }
    return GoalRow(
      work: "connect, one message there and back, close, Unix socket, blocking",
      goal: "≥ 0.8 × C, ≥ 2 × NIO, ≥ 3 × Python",
      measured: factors.map { $0.map { "\($0.ratio) ×" } ?? "not measured" }.joined(separator: ", "),
      isReached: zip(factors, parts).map { factor, part in factor.map { $0 >= part.1 } }.all)
  }

  private var idleRow: GoalRow {
    let figures = [IdleContender.Way.reactor, .tasks].map { result("idle")?.row($0.rawValue)?.figure?.median }
    guard let whole = figures[0], let task = figures[1] else {
      return GoalRow(work: "idle connection", goal: "≤ 1024 bytes", measured: "not measured")
    }
    return GoalRow(
      work: "idle connection", goal: "≤ 1024 bytes beside kernel buffers and the caller's own task",
      measured: "\((whole - task).short) bytes", isReached: whole - task <= 1024)
  }

  private var pythonRow: GoalRow {
    let ratios = results.filter { $0.name.hasPrefix("python-peer/") }.flatMap { result in
      let python = result.rows.first?.contender ?? ""
      return result.rows.dropFirst().compactMap { $0.ratios[python]?.median }
    }
    guard let worst = ratios.max() else {
      return GoalRow(
        work: "any Python peer of the same protocol", goal: "≤ 1 × Python to Python", measured: "not measured"
      )
    }
    return GoalRow(
      work: "any Python peer of the same protocol", goal: "≤ 1 × Python to Python",
      measured: "\(worst.ratio) × at worst", isReached: worst <= 1)
  }
}

/// The goals for one direction of the MessagePack coders against one peer, for each of three values.
private struct CodingGoal {
  var work: String
  var peer: String
  var requirement: String
  /// How many times faster, for each value.
  var factors: [Double]

  static let all = [
    CodingGoal(
      work: "decode", peer: "Foundation JSON", requirement: "≥ 5.00 × faster on each", factors: [5, 5, 5]),
    CodingGoal(
      work: "encode", peer: "Foundation JSON", requirement: "≥ 4.00 × faster on each", factors: [4, 4, 4]),
    CodingGoal(
      work: "decode", peer: "Python msgpack", requirement: "≥ 1.00 × faster on each", factors: [1, 1, 1]),
    CodingGoal(
      work: "encode", peer: "Python msgpack",
      requirement: "≥ 1.00 × faster on a and b, ≤ 1.30 × its time on c",
      factors: [1, 1, 1 / 1.3]),
  ]
}

extension Report {
  private func pickleRow(_ work: String) -> GoalRow {
    let names = ["a", "b", "c", "d"]
    let factors = names.map { name in
      ratio("pickle/\(name)/\(work)", "SWPickle", "CPython pickle").map { 1 / $0.median }
    }
    let figures = zip(names, factors).map { name, factor in
      factor.map { "\(name) \($0.ratio) × faster" } ?? "\(name) not measured"
    }
    return GoalRow(
      work: "pickles, \(work) a, b, c and d, against CPython's pickle", goal: "≥ 1.00 × faster on each",
      measured: figures.joined(separator: ", "),
      isReached: factors.map { factor in factor.map { $0 >= 1 } }.all)
  }

  private func codingRow(_ goal: CodingGoal) -> GoalRow {
    let own = CodingContender<MsgPackCoding.Person>.Coder.own.rawValue
    let factors = ["a", "b", "c"].map { name in
      ratio("msgpack/\(name)/\(goal.work)", own, goal.peer).map { 1 / $0.median }
    }
    let figures = zip(["a", "b", "c"], factors).map { name, factor in
      factor.map { "\(name) \($0.ratio) × faster" } ?? "\(name) not measured"
    }
    return GoalRow(
      work: "MessagePack, \(goal.work) a, b and c, against \(goal.peer)", goal: goal.requirement,
      measured: figures.joined(separator: ", "),
      isReached: zip(factors, goal.factors).map { factor, least in factor.map { $0 >= least } }.all)
  }
}

extension [Bool?] {
  /// Whether all are true. Nil if one is unknown and none is false.
  fileprivate var all: Bool? {
    if contains(false) { return false }
    return contains(nil) ? nil : true
  }
}
