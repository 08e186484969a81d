import Foundation
import SWMessaging
import TestSupport
import Testing

/// The interpreter of the other tests, which has NumPy, and those that a developer's pyenv has beside it.
let pickleInterpreters: [String] = {
  var found = [ProcessInfo.processInfo.environment["SWTEST_PYTHON"]].compactMap { $0 }
  let versions = URL(filePath: NSHomeDirectory()).appending(path: ".pyenv/versions")
  let names = (try? FileManager.default.contentsOfDirectory(atPath: versions.path)) ?? []
  for minor in 8...14 {
    if let name = names.filter({ $0.hasPrefix("3.\(minor).") }).sorted().last {
      found.append(versions.appending(path: "\(name)/bin/python3").path)
    }
  }
  return found.filter { FileManager.default.isExecutableFile(atPath: $0) }
}()

/// Real Pythons, which pickle values in every protocol and read what comes back.
@Suite(
  .lastResort, .leavesNothing,
  .enabled(if: !pickleInterpreters.isEmpty, "no Python: run scripts/setup-python"), .serialized,
  .timeLimit(.minutes(10)))
struct PicklePythonTests {
  @Test(arguments: pickleInterpreters)
  func `every value comes back as it was, from every protocol`(_ python: String) async throws {
    let script = try #require(Bundle.module.resourceURL?.appending(path: "Peers/compare.py")).path
    let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let probe = URL(filePath: tests).deletingLastPathComponent().appending(path: "probe").path
    let child = try await ChildProcess.spawn(
      python, arguments: [script, probe, "echo-pickles"],
      environment: .inheriting(adding: ["PYTHONDONTWRITEBYTECODE": "1"]), channel: .standardStreams,
      framing: .lines)
    var lines: [String] = []
    for try await line in child.channel.messages { lines.append(String(decoding: line, as: UTF8.self)) }
    #expect(try await child.exitStatus == .exited(0), "\(lines.joined(separator: "\n"))")
    #expect(lines.last?.contains(" 0 came back otherwise") == true)
  }
}
