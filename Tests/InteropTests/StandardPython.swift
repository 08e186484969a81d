import Foundation
import Testing

/// Python interpreters of certain versions, for what needs their standard library and nothing else.
struct StandardPython: Sendable, CustomTestStringConvertible {
  let version: String
  let path: String
  var testDescription: String { "Python \(version)" }

  /// Those of 3.11 and 3.13 that there are: before and after 3.12 changed the handshake and more.
  static let all: [StandardPython] = ["3.11", "3.13"].compactMap { version in
    candidates(version).first { FileManager.default.isExecutableFile(atPath: $0) }.map {
      StandardPython(version: version, path: $0)
    }
  }

  /// The text of a disabled test.
  static let missing = "no Python 3.11 or 3.13, neither in PATH nor of pyenv"

  /// pyenv's own before what PATH finds, which may be a script that only says that a version is not chosen.
  private static func candidates(_ version: String) -> [String] {
    let environment = ProcessInfo.processInfo.environment
    let pyenv = (environment["PYENV_ROOT"] ?? (environment["HOME"] ?? "") + "/.pyenv") + "/versions"
    let installed = (try? FileManager.default.contentsOfDirectory(atPath: pyenv)) ?? []
    return installed.filter { $0.hasPrefix(version + ".") }.sorted().map { "\(pyenv)/\($0)/bin/python3" }
      + (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/python\(version)" }
  }
}
