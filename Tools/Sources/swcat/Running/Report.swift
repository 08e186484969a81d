internal import SWMessaging
internal import Synchronization
internal import SystemPackage

/// Writes an error message, in one line whatever the arguments and the peer have brought into it. It raises no SIGPIPE. It
/// is lost if no process has standard error, or if none reads it within the limit.
func complain(_ text: String, within limit: Duration = .seconds(1)) {
  StandardError.write("swcat: \(EscapedText.withoutControlCharacters(text))\n", within: limit)
}

/// Standard error, for people.
enum StandardError {
  private static let writer = try? SocketWriter(duplicating: .standardError)

  private static let showsBar = Mutex(false)
  /// Whether the last message was lost because no process read.
  private static let isStuck = Mutex(false)
  private static let removal = "\r\u{1b}[K"

  /// Waits for the reader, until the limit at most. After a message that was lost, the next one does not wait, so a reader
  /// that has stopped delays the program once. A bar that is shown is removed first.
  static func write(_ text: String, within limit: Duration) {
    let prefix = showsBar.withLock { showsBar in
      defer { showsBar = false }
      return showsBar ? removal : ""
    }
    do throws(EndpointError) {
      try writer?.blocking.send(prefix + text, timeout: isStuck.withLock { $0 } ? .zero : limit)
      isStuck.withLock { $0 = false }
    } catch {
      if case .timedOut = error.reason { isStuck.withLock { $0 = true } }
    }
  }

  /// Shows a bar on the last line, or removes it. It does not wait: what is not taken at once is dropped.
  static func offer(bar: String?) {
    showsBar.withLock { $0 = bar != nil }
    _ = try? writer?.blocking.send(bar.map { "\r\($0)\u{1b}[K" } ?? removal, timeout: .zero)
  }
}

/// The report of `--verbose`: each message's size, and the time since the program began.
struct Report: Sendable {
  let isVerbose: Bool
  private let beginning = ContinuousClock.now

  init(isVerbose: Bool) { self.isVerbose = isVerbose }

  func note(_ text: @autoclosure () -> String) {
    if isVerbose { complain("\(elapsed): \(text())") }
  }

  private var elapsed: String {
    let (seconds, attoseconds) = (ContinuousClock.now - beginning).components
    let microseconds = String(attoseconds / 1_000_000_000_000)
    return "+\(seconds).\(String(repeating: "0", count: 6 - microseconds.utf8.count))\(microseconds) s"
  }
}
