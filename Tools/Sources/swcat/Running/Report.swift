internal import SWMessaging
internal import Synchronization
internal import SystemPackage

/// Writes an error message, in one line whatever the arguments and the peer have brought into it. It raises no SIGPIPE, and is
/// lost if no process reads standard error.
func complain(_ text: String) {
  StandardError.write("swcat: \(EscapedText.withoutControlCharacters(text))\n")
}

/// Standard error, for people.
enum StandardError {
  private static let writer = try? SocketWriter(duplicating: .standardError)

  private static let showsBar = Mutex(false)
  private static let removal = "\r\u{1b}[K"

  /// Waits if it must. A bar that is shown is removed first.
  static func write(_ text: String) {
    let prefix = showsBar.withLock { showsBar in
      defer { showsBar = false }
      return showsBar ? removal : ""
    }
    _ = try? writer?.blocking.send(prefix + text)
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
