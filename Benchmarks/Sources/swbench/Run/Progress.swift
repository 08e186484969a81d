internal import Foundation

/// One line on standard error that shows the progress. If standard error is not a terminal, each report has its own line.
struct Progress: Sendable {
  var isQuiet = false
  private var isTerminal: Bool { isatty(2) == 1 }

  func show(_ text: String) {
    if isQuiet { return }
    if isTerminal { write("\r\u{1b}[K\(text)") }
  }

  /// Prints a line that stays.
  func note(_ text: String) {
    if isQuiet { return }
    write((isTerminal ? "\r\u{1b}[K" : "") + text + "\n")
  }

  func clear() {
    if !isQuiet, isTerminal { write("\r\u{1b}[K") }
  }

  private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
