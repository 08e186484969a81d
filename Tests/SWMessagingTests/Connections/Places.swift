import Foundation
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import Testing

/// A directory of a test's own, which goes with it.
final class TestDirectory: Sendable {
  let path: FilePath

  init() throws {
    path = FilePath(FileManager.default.temporaryDirectory.path)
      .appending("sw-\(UInt64.random(in: 0...UInt64.max))")
    try FileManager.default.createDirectory(atPath: path.string, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(atPath: path.string) }

  /// A path in it.
  func callAsFunction(_ name: String) -> FilePath { path.appending(name) }

  /// The names in it.
  var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path.string)) ?? []).sorted() }
}

/// An address of each kind, for a listener.
enum ListenPlace: String, CaseIterable, CustomTestStringConvertible, Sendable {
  case unix, longPath, abstract, autobound, tcp, tcp6, packets, abstractPackets

  var testDescription: String { rawValue }
  var kind: ConnectionKind { self == .packets || self == .abstractPackets ? .packets : .stream }
  var isUnix: Bool { self != .tcp && self != .tcp6 }

  func address(_ directory: TestDirectory) throws -> Address {
    switch self {
    case .unix, .packets: return .unix(directory("s"))
    case .longPath:
      let deep = directory(String(repeating: "d", count: 90))
      try FileManager.default.createDirectory(atPath: deep.string, withIntermediateDirectories: true)
      return .unix(deep.appending(String(repeating: "s", count: 200)))
    case .abstract, .abstractPackets: return .abstract("sw-test-\(UInt64.random(in: 0...UInt64.max))")
    case .autobound: return .abstract("")
    case .tcp: return .tcp(host: "127.0.0.1", port: 0)
    case .tcp6: return .tcp(host: "::1", port: 0)
    }
  }

  func listener(
    _ directory: TestDirectory, backlog: Int = 4096, accepting policy: AcceptPolicy? = nil
  ) throws -> Listener<MessageDuplex<VarIntFraming>> {
    try Listener(
      try address(directory), framing: .varInt, kind: kind, backlog: backlog, accepting: policy)
  }
}

extension Listener {
  /// How many callers wait in accept.
  var waiting: Int { core.half.inspect { $0.queue.count } }
}
