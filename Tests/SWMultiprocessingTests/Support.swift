import Foundation
import SWMultiprocessing
import SWTesting
import SystemPackage
import TestSupport
import Testing

#if Multiprocessing
  let hasKeys = true

  func key(_ text: String = "secret", least: AuthenticationDigest = .md5) -> Authentication {
    var authentication = Authentication(key: text, leastDigest: least)
    authentication.timeLimit = .patience
    return authentication
  }

  func makeKey(_ bytes: [UInt8]) -> Authentication { Authentication(key: bytes) }
#else
  let hasKeys = false

  func makeKey(_ bytes: [UInt8]) -> Authentication { key() }

  func key(_ text: String = "secret", least: AuthenticationDigest = .md5) -> Authentication {
    preconditionFailure("tests that need a key are not run without the trait Multiprocessing")
  }
#endif

extension Trait where Self == ConditionTrait {
  /// The test makes keys.
  static var needsKeys: Self { .enabled(if: hasKeys, "it needs the package trait Multiprocessing") }
}

/// Python interpreters of several versions, for their standard library.
struct Python: Sendable, CustomTestStringConvertible {
  let version: String
  let path: String
  var testDescription: String { "Python \(version)" }

  /// Before 3.12 the handshake knows MD5 alone.
  var isLegacy: Bool { ["3.8", "3.11"].contains(version) }

  /// The oldest that is supported, and those before and after 3.12 changed the handshake.
  static let all: [Python] = ["3.8", "3.11", "3.13"].compactMap { version in
    candidates(version).first { FileManager.default.isExecutableFile(atPath: $0) }.map {
      Python(version: version, path: $0)
    }
  }

  /// The text of a disabled test.
  static let missing = "no Python 3.8, 3.11 or 3.13, neither in PATH nor of pyenv"

  /// pyenv's own before what PATH finds, which may be a script that only says that a version is not chosen.
  private static func candidates(_ version: String) -> [String] {
    let environment = ProcessInfo.processInfo.environment
    let pyenv = (environment["PYENV_ROOT"] ?? (environment["HOME"] ?? "") + "/.pyenv") + "/versions"
    let installed = (try? FileManager.default.contentsOfDirectory(atPath: pyenv)) ?? []
    return installed.filter { $0.hasPrefix(version + ".") }.sorted().map { "\(pyenv)/\($0)/bin/python3" }
      + (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/python\(version)" }
  }

  struct NoReadyLine: Error {
    let line: String
  }

  /// Starts one of the scripts in `Peers`. Its standard output has the messages of its channel.
  func start(_ script: String, _ arguments: String...) async throws -> ChildProcess<LineFraming> {
    let scripts = try #require(Bundle.module.resourceURL?.appending(path: "Peers"))
    return limitLife(
      of: try await ChildProcess.spawn(
        path, arguments: [scripts.appending(path: script).path] + arguments,
        environment: .inheriting(adding: ["PYTHONDONTWRITEBYTECODE": "1"]), channel: .standardStreams,
        framing: .lines),
      named: ([script] + arguments).joined(separator: " "))
  }
}

extension ChildProcess where F == LineFraming {
  /// The next line that it prints; nil at the end.
  func line() async throws -> String? {
    try await channel.next().map { String(decoding: $0, as: UTF8.self) }
  }

  /// The address that it says it listens at.
  func readyAddress() async throws -> Address {
    let line = try await line() ?? ""
    guard line.hasPrefix("READY ") else { throw Python.NoReadyLine(line: line) }
    let text = line.dropFirst(6)
    return try Address(parsing: text.contains("/") || text.hasPrefix("@") ? "unix:\(text)" : "tcp:\(text)")
  }
}

extension Address {
  /// As the Python scripts take it.
  var argument: String {
    switch kind {
    case .unix(let path): path.string
    case .abstract(let name): "@\(String(decoding: name, as: UTF8.self))"
    case .tcp(let host, let port): "\(host):\(port)"
    default: ""
    }
  }
}

/// Where Python's peers and ours listen.
enum Place: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case path
  case abstract
  case tcp

  var testDescription: String { rawValue }

  /// An address that no other test uses.
  func address() -> Address {
    let name = "sw-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    return switch self {
    case .path: .unix(FilePath(NSTemporaryDirectory()).appending(name))
    case .abstract: .abstract(name)
    case .tcp: .tcp(host: "127.0.0.1", port: 0)
    }
  }
}

/// The failure of a handshake; nil if the body throws anything else, or nothing.
func authenticationFailure(_ body: () async throws -> Void) async -> AuthenticationFailure? {
  do {
    try await body()
  } catch let error as MultiprocessingError {
    if case .authentication(let failure) = error.reason { return failure }
  } catch {
    return nil
  }
  return nil
}

/// A file with a text, opened for reading and without a name.
func file(_ text: String) throws -> FileDescriptor {
  let path = FilePath(NSTemporaryDirectory()).appending("sw-\(UInt64.random(in: 0 ... .max))")
  let descriptor = try FileDescriptor.open(
    path, .readWrite, options: [.create, .exclusiveCreate, .closeOnExec], permissions: .ownerReadWrite)
  try FileManager.default.removeItem(atPath: path.string)
  try descriptor.writeAll(text.utf8)
  try descriptor.seek(offset: 0, from: .start)
  return descriptor
}

/// The contents of a file from its position on.
func text(of descriptor: FileDescriptor) throws -> String {
  let file = FileHandle(fileDescriptor: descriptor.rawValue, closeOnDealloc: false)
  return String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
}
