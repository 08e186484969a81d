internal import CFloor
internal import Histogram

/// Collects how long each round trip took, in nanoseconds.
// Invariant: one contender's rounds follow one another, and within a round one caller at a time records.
final class Latencies: @unchecked Sendable {
  /// All of them.
  private(set) var histogram = Histogram<UInt64>(
    highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)
  private var round = Histogram<UInt64>(
    highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)
  private var last: UInt64 = 0

  /// The clock's reading that the next latency counts from.
  func begin() { last = floor_now() }

  /// A round trip ended, and the next one begins.
  func lap() {
    let now = floor_now()
    round.record(max(now &- last, 1))
    last = now
  }

  func record(_ nanoseconds: UInt64) { round.record(max(nanoseconds, 1)) }

  /// The median of a round that has ended.
  func endRound() -> Double {
    defer { round.reset() }
    histogram.add(round)
    return Double(round.valueAtPercentile(50))
  }

  /// Forgets what a warm-up recorded.
  func reset() {
    round.reset()
    histogram.reset()
  }
}
