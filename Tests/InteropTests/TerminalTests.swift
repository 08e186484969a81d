import Foundation
import SWMessaging
import TestSupport
import Testing

/// A terminal that Python's `pty` module drives, as `expect`, editors and job runners do.
@Suite(
  .enabled(if: !StandardPython.all.isEmpty, Comment(rawValue: StandardPython.missing)),
  .lastResort, .leavesNothing)
struct TerminalTests {
  @Test(arguments: StandardPython.all, ["async", "blocking"])
  func `line 12: a program on a terminal of Python's answers line by line, and leaves it as it was`(
    _ python: StandardPython, _ colour: String
  ) async throws {
    let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let probe = URL(filePath: tests).deletingLastPathComponent().appending(path: "probe").path
    for mode in ["lines", "raw", "killed", "hangup", "background", "contended", "ignoring", "spawn"] {
      let driver = try await PythonPeer.spawn(
        python.path, "terminal.py", [mode, probe, "capitals", colour], at: .standardStreams,
        framing: .lines)
      driver.channel.finishSending()
      var said: [String] = []
      while let line = try await driver.channel.next() { said.append(String(decoding: line, as: UTF8.self)) }
      #expect(said == ["\(mode): as it should be"])
      #expect(try await driver.exitStatus == .exited(0))
    }
  }
}
