/// A kind of world, of which schedules are played: real objects of the library, with simulated callers, reactor and
/// transport.
package protocol Simulation: SendableMetatype {
  /// A seeded mistake outside the code under test. It shows that the checks notice faults.
  associatedtype Mistake: CaseIterable, Equatable, RawRepresentable<String>, Sendable
  associatedtype Coverage: SimulationCoverage

  /// The name by which `simulate` knows it.
  static var name: String { get }

  /// Plays the schedule of a seed.
  ///
  /// - Parameters:
  ///   - mistake: the mistake to seed.
  ///   - isTracing: prints every step.
  static func run(seed: UInt64, mistake: Mistake?, isTracing: Bool) -> SimulationReport<Coverage>
}

extension Simulation {
  package static func run(seed: UInt64, mistake: Mistake? = nil) -> SimulationReport<Coverage> {
    run(seed: seed, mistake: mistake, isTracing: false)
  }
}

/// The result of one schedule.
package struct SimulationReport<Coverage: SimulationCoverage>: Sendable {
  package let seed: UInt64
  /// The failure, if there was one.
  package var failure: String?
  /// A hash of everything that happened, in order. Equal schedules have equal hashes.
  package let traceHash: UInt64
  package let stepCount: Int
  package let coverage: Coverage

  init(seed: UInt64, _ course: Course<some Equatable & Sendable>, _ coverage: Coverage) {
    self.seed = seed
    failure = course.failure
    traceHash = course.traceHash
    stepCount = course.stepCount
    self.coverage = coverage
  }
}

/// Counts how often schedules reached what is hard to reach. A simulation that never gets there proves nothing.
package protocol SimulationCoverage: Sendable {
  init()
  mutating func add(_ other: Self)
  /// The places that no schedule has reached.
  var missing: [String] { get }
  /// A table for readers.
  var table: String { get }
}

/// Counts points of the code, or situations.
package struct PointCoverage<Point: CaseIterable & RawRepresentable<Int> & Sendable>: SimulationCoverage {
  private var counts = [Int](repeating: 0, count: Point.allCases.count)

  package init() {}

  package mutating func note(_ point: Point) { counts[point.rawValue] += 1 }

  package func count(_ point: Point) -> Int { counts[point.rawValue] }

  package mutating func add(_ other: Self) {
    for index in counts.indices { counts[index] += other.counts[index] }
  }

  package var missing: [String] { Point.allCases.filter { count($0) == 0 }.map { "\($0)" } }

  package var table: String {
    let columns = 3
    let cells = Point.allCases.map { point in
      let (name, number) = ("\(point)", String(count(point)))
      return name + String(repeating: " ", count: max(1, 32 - name.count - number.count)) + number
    }
    return stride(from: 0, to: cells.count, by: columns).map { start in
      cells[start..<min(start + columns, cells.count)].joined(separator: "   ")
    }.joined(separator: "\n")
  }
}
