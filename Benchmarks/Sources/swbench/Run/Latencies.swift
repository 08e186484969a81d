internal import CFloor
internal import Histogram

/// Collects the times of round trips, in nanoseconds.
// Invariant: one contender's rounds follow one another, and within a round one caller at a time records.
final class Latencies: @unchecked Sendable {
  /// The times of all rounds.
  private(set) var histogram = Histogram<UInt64>(
    highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)
  private var round = Histogram<UInt64>(
    highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)
  private var last: UInt64 = 0

  /// Starts the clock for the next latency.
  func begin() { last = floor_now() }

  /// Ends a round trip, and begins the next one.
  func lap() {
    let now = floor_now()
    round.record(max(now &- last, 1))
    last = now
  }

  func record(_ nanoseconds: UInt64) { round.record(max(nanoseconds, 1)) }

  /// Returns the median of a round that has ended.
  func endRound() -> Double {
    defer { round.reset() }
    histogram.add(round)
    return Double(round.valueAtPercentile(50))
  }

  /// Removes the records of a warm-up.
  func reset() {
    round.reset()
    histogram.reset()
  }
}
