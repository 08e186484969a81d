internal import Foundation

/// The Python interpreter of the benchmarks.
enum Python {
  /// The Python that `SWTEST_PYTHON` names (scripts/with-python sets it), or else the `python3` in the path, with which
  /// multiprocessing can be measured at least.
  static let interpreter: String? = {
    let environment = ProcessInfo.processInfo.environment
    let searched = (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/python3" }
    return ([environment["SWTEST_PYTHON"]].compactMap { $0 } + searched)
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }()

  /// Checks that socketwrapper runs in this mode.
  static func check(mode: String) async throws {
    let (interpreter, path) = try script()
    let peer = try PeerProcess(interpreter, [path, "check", "--mode", mode], ends: nil)
    let answer = try await onThread {
      defer { peer.finish() }
      return try peer.answer()
    }
    if answer.hasPrefix("missing ") { throw Unavailable(description: String(answer.dropFirst(8))) }
  }

  static func script(_ name: String = "bench") throws -> (interpreter: String, path: String) {
    guard let interpreter else { throw Unavailable(description: "no Python: set SWTEST_PYTHON") }
    let script = Bundle.module.url(forResource: name, withExtension: "py", subdirectory: "Resources")
    guard let path = script?.path else {
      throw Unavailable(description: "\(name).py is not in the resources")
    }
    return (interpreter, path)
  }
}
