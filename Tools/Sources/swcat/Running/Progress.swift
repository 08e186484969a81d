internal import Synchronization

#if canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// A bar on standard error for each large message on its way. It is drawn at most ten times a second, and removed when the
/// message is complete.
final class Progress: Sendable {
  /// Shorter frames have no bar.
  private static var least: Int { 1 << 20 }
  private static var width: Int { 30 }

  private let drawn = Mutex<(last: ContinuousClock.Instant, isShown: Bool)>((.now, false))

  /// Returns nil if standard error is no terminal.
  init?() {
    guard isatty(2) == 1 else { return nil }
  }

  /// - Parameter verb: the operation: "received" or "sent".
  func update(_ verb: String, _ count: Int, of total: Int) {
    if total < Self.least { return }
    let isDue = drawn.withLock { drawn in
      if count >= total {
        defer { drawn.isShown = false }
        return drawn.isShown
      }
      if drawn.isShown, .now - drawn.last < .milliseconds(100) { return false }
      drawn = (.now, true)
      return true
    }
    guard isDue else { return }
    // It may be called by a thread that must not wait.
    StandardError.offer(bar: count >= total ? nil : Self.bar(verb, count, of: total))
  }

  private static func bar(_ verb: String, _ count: Int, of total: Int) -> String {
    let filled = Int(Double(count) / Double(total) * Double(width))
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
    return "[\(bar)] \(mebibytes(count)) of \(mebibytes(total)) MiB \(verb)"
  }

  private static func mebibytes(_ count: Int) -> String {
    let tenths = count / ((1 << 20) / 10)
    return "\(tenths / 10).\(tenths % 10)"
  }
}
