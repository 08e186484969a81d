import CSysTestSupport
import Foundation
import Glibc
import SWIO
import SWMessaging
import SWTesting
import Testing

/// A signal that the kernel raises for what a thread does cannot wait: blocked, it takes its default, and
/// no handler of a crash reporter, a sanitizer or Swift's backtrace sees a trap in a user's scanner.
@Suite struct SignalMaskTests {
  @Test func `the reactor's thread lets through what it raises itself`() async throws {
    await Task(executorPreference: .reactor) { @concurrent in }.value
    let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")
    let reactor = try #require(
      threads.first {
        (try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8)) == "sw-reactor\n"
      })
    let status = try String(contentsOfFile: "/proc/self/task/\(reactor)/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("SigBlk:") })
    let blocked = try #require(UInt64(line.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16))
    for signal in [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT, SIGSYS, SIGPIPE] {
      #expect(blocked & (1 << UInt64(signal - 1)) == 0, "signal \(signal) is blocked")
    }
    #expect(blocked & (1 << UInt64(SIGTERM - 1)) != 0, "the program's signals are not for this thread")
  }

  /// The effect: a handler is called for a trap in the user's own code that the reactor runs.
  @Test func `a crash on the reactor's thread is seen by a handler`() async {
    await #expect(processExitsWith: .exitCode(77)) {
      signal(SIGILL) { _ in _exit(77) }
      signal(SIGTRAP) { _ in _exit(77) }
      await Task(executorPreference: .reactor) { @concurrent in precondition(getpid() < 0, "a trap") }.value
    }
  }
}
