/// The pauses between attempts to connect. Each is longer than the last, up to a limit, and chosen at random below that,
/// so the clients of one server do not return all at once.
public struct Backoff: Hashable, Sendable {
  /// The longest wait before the second attempt.
  public var first: Duration
  /// How many times longer the longest wait gets with each attempt. At least 1.
  public var factor: Double
  /// The longest wait of all.
  public var most: Duration
  /// Each wait is chosen at random between none and the longest (full jitter); if false, each is the longest.
  public var isRandom: Bool

  /// - Parameters:
  ///   - first: the longest wait before the second attempt.
  ///   - factor: how many times longer the longest wait gets with each attempt.
  ///   - most: the longest wait of all.
  ///   - isRandom: whether each wait is chosen at random below the longest.
  public init(
    first: Duration = .milliseconds(50), factor: Double = 2, most: Duration = .seconds(5),
    isRandom: Bool = true
  ) {
    precondition(
      first >= .zero && most >= .zero && factor >= 1, "waits do not get shorter, nor less than nothing")
    self.first = first
    self.factor = factor
    self.most = most
    self.isRandom = isRandom
  }

  /// From 50 ms, twice as long each time, to 5 s, with full jitter.
  public static var standard: Backoff { Backoff() }

  /// The longest pause after an attempt. The first attempt has the number 1.
  package func longestWait(after attempt: Int) -> Duration {
    var wait = first
    for _ in 1..<max(attempt, 1) where wait < most { wait = wait * factor }
    return min(wait, most)
  }

  package func wait(after attempt: Int) -> Duration {
    let longest = longestWait(after: attempt)
    return isRandom ? longest * Double.random(in: 0...1) : longest
  }
}
