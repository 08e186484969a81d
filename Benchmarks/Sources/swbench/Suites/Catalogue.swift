internal import Foundation

/// All benchmarks, in the order in which they run.
enum Catalogue {
  static var all: [Benchmark] {
    RoundTrips.benchmarks + PythonPeers.benchmarks + OneWay.benchmarks + Senders.benchmarks
      + Connections.benchmarks + Listening.benchmarks + FirstMessages.benchmarks + Framings.benchmarks
      + MsgPackCoding.benchmarks
      + PickleCoding.benchmarks
      + Failing.benchmarks
  }

  /// The benchmarks that the patterns match, by the beginning of the name or with `*` and `?`. Without patterns, all that
  /// are not hidden.
  static func matching(_ patterns: [String]) -> [Benchmark] {
    if patterns.isEmpty { return all.filter { !$0.isHidden } }
    return all.filter { benchmark in
      patterns.contains { pattern in
        unsafe benchmark.name.hasPrefix(pattern) || fnmatch(pattern, benchmark.name, 0) == 0
      }
    }
  }
}
