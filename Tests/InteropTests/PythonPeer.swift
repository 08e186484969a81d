import Foundation
import SWMessaging
import TestSupport
import Testing

/// A Python process that runs one of the scripts in `Peers`.
enum PythonPeer {
  /// The interpreter that `SWTEST_PYTHON` names, or that of `.venv` in the package; nil: there is none.
  static let interpreter: String? = {
    let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    return [
      ProcessInfo.processInfo.environment["SWTEST_PYTHON"], package.appending(path: ".venv/bin/python").path,
    ].compactMap { $0 }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }()

  static var isAvailable: Bool { interpreter != nil }
  /// The text of a disabled test.
  static let missing = "no Python: set SWTEST_PYTHON, or run scripts/setup-python"

  struct NotAvailable: Error {}

  /// Where a peer's end lies.
  enum Place: CaseIterable, Sendable {
    case socketPair, standardStreams

    var channel: ChildChannel { self == .socketPair ? .descriptor(3) : .standardStreams }
    var arguments: [String] { self == .socketPair ? ["--fd", "3"] : ["--stdio"] }
  }

  /// How a peer runs socketwrapper.
  enum Mode: String, CaseIterable, Sendable { case sync, asyncio }

  /// Starts `peer.py`.
  static func start<F: Framing>(
    _ role: String, _ options: [String] = [], framing: F, named name: String, at place: Place,
    mode: Mode = .sync
  ) async throws -> ChildProcess<F> {
    guard let interpreter else { throw NotAvailable() }
    return try await spawn(
      interpreter, "peer.py",
      [role, "--framing", name, "--mode", mode.rawValue] + place.arguments + options,
      at: place.channel, framing: framing)
  }

  /// Starts one of the scripts. The scripts have no deadline of their own: `limitLife` gives them one, and its expiry
  /// says what was waited for.
  static func spawn<F: Framing>(
    _ interpreter: String, _ script: String, _ arguments: [String], at channel: ChildChannel, framing: F,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) async throws -> ChildProcess<F> {
    guard let scripts = Bundle.module.resourceURL?.appending(path: "Peers") else { throw NotAvailable() }
    return limitLife(
      of: try await ChildProcess.spawn(
        interpreter, arguments: [scripts.appending(path: script).path] + arguments,
        environment: .inheriting(adding: ["PYTHONDONTWRITEBYTECODE": "1"]), channel: channel,
        framing: framing, maximumFrameSize: maximumFrameSize),
      named: ([script] + arguments).joined(separator: " "))
  }
}
