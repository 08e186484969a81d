import Foundation
import Glibc
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import Testing

/// A directory of a test's own, until it is removed.
final class TestDirectory: Sendable {
  let path: FilePath

  init() throws {
    path = FilePath(FileManager.default.temporaryDirectory.path)
      .appending("sw-\(UInt64.random(in: 0...UInt64.max))")
    try FileManager.default.createDirectory(atPath: path.string, withIntermediateDirectories: false)
  }

  func remove() { try? FileManager.default.removeItem(atPath: path.string) }

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

func makeFIFO(_ path: FilePath) -> Bool { unsafe mkfifo(path.string, 0o600) == 0 }
func makeDirectory(_ path: FilePath) -> Bool { unsafe mkdir(path.string, 0o700) == 0 }
func setMode(_ path: FilePath, _ mode: mode_t) -> Bool { unsafe chmod(path.string, mode) == 0 }
func giveAway(_ path: FilePath, to user: uid_t) -> Bool { unsafe chown(path.string, user, user) == 0 }

extension EndpointError {
  /// The failure of a system call.
  var failure: TransportError? {
    if case .transport(let failure) = reason { return failure }
    return nil
  }
}

/// A connecting client, made by hand: so that it connects when and how a test wants.
final class HandClient: Sendable {
  private let number: Guarded<Int32>

  /// The result of `connect`: 0, or a negative errno.
  let result: Int32

  init(_ address: SocketAddress, _ kind: ConnectionKind = .stream) throws {
    let socket = try OwnedDescriptor.socket(for: address, kind, .connect)
    result = socket.connect(to: address)
    number = Guarded(socket.release().rawValue)
  }

  deinit { close() }

  func close() {
    number.withLock { number in
      if number >= 0 { OwnedDescriptor.close(number) }
      number = -1
    }
  }

  /// Closes with a reset.
  func reset() {
    number.withLock { number in
      var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
      _ = unsafe setsockopt(number, SOL_SOCKET, SO_LINGER, &linger, UInt32(MemoryLayout<linger>.size))
    }
    close()
  }
}
