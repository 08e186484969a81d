import Foundation
import SWMultiprocessing
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// `multiprocessing.connection` of CPython at the other end.
@Suite(
  .needsKeys, .enabled(if: !Python.all.isEmpty, Comment(rawValue: Python.missing)), .lastResort,
  .leavesNothing)
struct PythonConnectionTests {
  typealias Peer = MessageDuplex<MultiprocessingFraming>

  private static func quit(_ peer: Peer) async throws {
    try await peer.send(.tuple(["quit"]))
    #expect(try await peer.receive() == "bye")
  }

  private static func echo(_ peer: Peer) async throws {
    for value in [1, "text", ["a": [1.5, nil]]] as [PickleValue] {
      try await peer.send(.tuple(["echo", value]))
      #expect(try await peer.receive() == value)
    }
  }

  /// Connects to Python's listener.
  private static func client(of address: Address, _ authentication: Authentication = key()) async throws
    -> Peer
  {
    try await connect(to: address, framing: .multiprocessing, authentication: authentication)
  }

  /// A Python client, and its connection.
  private static func accepted(
    _ python: Python, _ authentication: Authentication = key()
  ) async throws -> (ChildProcess<LineFraming>, Peer) {
    let listener = try Listener(
      Place.abstract.address(), framing: .multiprocessing, authentication: authentication)
    defer { listener.close() }
    let child = try await python.start("connection.py", "client", listener.address.argument, "secret")
    return (child, try await listener.accept())
  }

  @Test(arguments: Python.all, Place.allCases)
  func `a Python listener takes our client`(_ python: Python, _ place: Place) async throws {
    // Python 3.8 takes no abstract name.
    if python.version == "3.8", place == .abstract { return }
    let child = try await python.start("connection.py", "listener", place.address().argument, "secret")
    let peer = try await Self.client(of: try await child.readyAddress())
    try await Self.echo(peer)
    try await Self.quit(peer)
    #expect(try await child.exitStatus == .exited(0))
  }

  @Test(arguments: Python.all, Place.allCases)
  func `our listener takes a Python client`(_ python: Python, _ place: Place) async throws {
    let listener = try Listener(place.address(), framing: .multiprocessing, authentication: key())
    defer { listener.close() }
    let child = try await python.start("connection.py", "client", listener.address.argument, "secret")
    let peer = try await listener.accept()
    try await Self.echo(peer)
    try await Self.quit(peer)
    #expect(try await child.exitStatus == .exited(0))
  }

  @Test(
    arguments: Python.all.filter { !$0.isLegacy }, AuthenticationDigest.allCases)
  func `every digest of Python's challenges is answered, and every one of ours`(
    _ python: Python, _ digest: AuthenticationDigest
  ) async throws {
    let child = try await python.start(
      "connection.py", "listener", Place.path.address().argument, "secret", digest.rawValue)
    let peer = try await Self.client(of: try await child.readyAddress(), key(least: digest))
    try await Self.quit(peer)
    #expect(try await child.exitStatus == .exited(0))

    let (client, accepted) = try await Self.accepted(python, key(least: digest))
    try await Self.quit(accepted)
    #expect(try await client.exitStatus == .exited(0))
  }

  @Test(arguments: Python.all.filter(\.isLegacy))
  func `a Python that knows MD5 alone is refused where more is demanded`(_ python: Python) async throws {
    let child = try await python.start("connection.py", "listener", Place.path.address().argument, "secret")
    let address = try await child.readyAddress()
    let failure = await authenticationFailure {
      _ = try await Self.client(of: address, key(least: .sha256))
    }
    #expect(failure == AuthenticationFailure(.digestTooWeak(.md5, least: .sha256), as: .client))
    #expect(try await child.line()?.hasPrefix("REFUSED") == true)
    try await Self.quit(try await Self.client(of: address))
    #expect(try await child.exitStatus == .exited(0))

    let failures = Failures()
    let listener = try Listener(
      Place.abstract.address(), framing: .multiprocessing, authentication: key(least: .sha256),
      onFailure: { failures.add($0) })
    defer { listener.close() }
    let client = try await python.start("connection.py", "client", listener.address.argument, "secret")
    #expect(try await client.line()?.contains("digest sent was rejected") == true)
    await eventually { failures.count == 1 }
    #expect(failures.causes == [.digestTooWeak(.md5, least: .sha256)])
    #expect(try await client.exitStatus == .exited(0))
  }

  @Test(arguments: Python.all)
  func `a wrong key is refused in both roles`(_ python: Python) async throws {
    let child = try await python.start("connection.py", "listener", Place.path.address().argument, "secret")
    let address = try await child.readyAddress()
    let failure = await authenticationFailure { _ = try await Self.client(of: address, key("wrong")) }
    #expect(failure == AuthenticationFailure(.rejected, as: .client))
    #expect(try await child.line()?.contains("digest received was wrong") == true)
    try await Self.quit(try await Self.client(of: address))
    #expect(try await child.exitStatus == .exited(0))

    let failures = Failures()
    let listener = try Listener(
      Place.abstract.address(), framing: .multiprocessing, authentication: key(),
      onFailure: { failures.add($0) })
    defer { listener.close() }
    let client = try await python.start("connection.py", "client", listener.address.argument, "wrong")
    #expect(try await client.line()?.contains("digest sent was rejected") == true)
    await eventually { failures.count == 1 }
    #expect(failures.causes == [.wrongAnswer])
    #expect(try await client.exitStatus == .exited(0))
  }

  @Test(arguments: Python.all)
  func `an empty key works with a Python client`(_ python: Python) async throws {
    let listener = try Listener(
      Place.abstract.address(), framing: .multiprocessing, authentication: key(""))
    defer { listener.close() }
    let child = try await python.start("connection.py", "client", listener.address.argument, "")
    try await Self.quit(try await listener.accept())
    #expect(try await child.exitStatus == .exited(0))
  }

  @Test(arguments: Python.all)
  func `a Python listener without a key is waited for until the deadline`(_ python: Python) async throws {
    let child = try await python.start("connection.py", "listener", Place.path.address().argument, "-")
    let address = try await child.readyAddress()
    let failure = await authenticationFailure {
      _ = try await connect(
        to: address, framing: .multiprocessing, authentication: key(), timeout: .milliseconds(200))
    }
    #expect(failure == AuthenticationFailure(.noChallenge, as: .client))
    let peer = try await connect(to: address, framing: .multiprocessing)
    try await Self.quit(peer)
    #expect(try await child.exitStatus == .exited(0))
  }

  // MARK: Descriptors

  @Test(arguments: Python.all)
  func `handles go to Python`(_ python: Python) async throws {
    let (child, peer) = try await Self.accepted(python)
    let files = try ["one", "two", "three"].map { try file($0) }
    defer { for file in files { try? file.close() } }
    try await peer.send(.tuple(["recv_handle"]))
    try await peer.sendHandle(files[0])
    #expect(try await peer.receive() == "one")
    for file in files { try file.seek(offset: 0, from: .start) }
    try await peer.send(.tuple(["recv_handles", 3]))
    try await peer.sendHandles(files)
    #expect(try await peer.receive() == ["one", "two", "three"])
    try await Self.quit(peer)
    #expect(try await child.exitStatus == .exited(0))
  }

  @Test(arguments: Python.all, [false, true])
  func `handles come from Python, between messages`(_ python: Python, _ blocks: Bool) async throws {
    let (child, peer) = try await Self.accepted(python)
    peer.maximumDescriptors = 1
    try await peer.send(.tuple(["send_handles", "a", "b", "c"]))
    let texts =
      blocks
      ? try await TestThread {
        try (0..<3).map { _ in
          let before = try peer.blocking.receive()
          let descriptor = try peer.blocking.receiveHandle()
          return try descriptor.withDescriptor { try text(of: $0) } + (before.text ?? "")
            + (try peer.blocking.receive().text ?? "")
        }
      }.value : try await Self.received(by: peer)
    #expect(texts == ["a", "b", "c"].map { "\($0)before \($0)after \($0)" })
    try await Self.quit(peer)
    #expect(try await child.exitStatus == .exited(0))
  }

  private static func received(by peer: Peer) async throws -> [String] {
    var texts: [String] = []
    for _ in 0..<3 {
      let before = try await peer.receive()
      let descriptor = try await peer.receiveHandle()
      let text = try descriptor.withDescriptor { try SWMultiprocessingTests.text(of: $0) }
      let after = try await peer.receive()
      texts.append(text + (before.text ?? "") + (after.text ?? ""))
    }
    return texts
  }

  @Test func `a byte without a descriptor is an error`() async throws {
    let (left, right) = try makeSocketPair()
    left.maximumDescriptors = 1
    try await right.send([1])
    do {
      _ = try await left.receiveHandle()
      Issue.record("there was no descriptor")
    } catch {
      #expect(error.description == "expected descriptors with the byte 1; found none")
    }
  }

  @Test func `more or fewer descriptors than the byte says are an error`() async throws {
    let (left, right) = try makeSocketPair()
    left.maximumDescriptors = 4
    let file = try file("x")
    defer { try? file.close() }
    try await right.send([3], passing: [file, file])
    do {
      _ = try await left.receiveHandles()
      Issue.record("there were not so many")
    } catch {
      #expect(error.description == "expected as many descriptors as the byte 3 says; found 2")
    }
  }

  @Test(arguments: Python.all, [false, true])
  func `a Connection that Python pickles is fetched`(_ python: Python, _ blocks: Bool) async throws {
    let (child, peer) = try await Self.accepted(python)
    try await peer.send(.tuple(["send_connection", ["deep": 7]]))
    let value = try await peer.receive()
    let shared = try #require(SharedDescriptor(value))
    let other = try Peer(
      adopting: blocks
        ? try await TestThread { FileDescriptorBox(try shared.blocking.detach(authentication: key())) }.value
          .take()
        : try await shared.detach(authentication: key()),
      framing: .multiprocessing)
    #expect(try await other.receive() == ["deep": 7])
    try await other.send("through the pipe")
    #expect(try await peer.receive() == "through the pipe")
    // It is served once.
    do {
      _ = try await shared.detach(authentication: key())
      Issue.record("it was served twice")
    } catch {
      guard case .connection(let cause) = error.reason, case .endOfStream = cause.reason else {
        Issue.record("\(error)")
        return
      }
    }
    try await Self.quit(peer)
    #expect(try await child.exitStatus == .exited(0))
  }

  @Test(arguments: Python.all)
  func `a socket that Python pickles is fetched`(_ python: Python) async throws {
    let (child, peer) = try await Self.accepted(python)
    try await peer.send(.tuple(["send_socket", "hello"]))
    let shared = try #require(SharedDescriptor(try await peer.receive()))
    let other = try SocketDuplex(adopting: try await shared.detach(authentication: key()))
    #expect(try await other.receive(exactly: 5) == Array("hello".utf8))
    try await other.send("back")
    #expect(try await peer.receive() == "back")
    try await Self.quit(peer)
    #expect(try await child.exitStatus == .exited(0))
  }

  @Test(arguments: Python.all)
  func `Python fetches what this side shares`(_ python: Python) async throws {
    let (child, peer) = try await Self.accepted(python)
    let sharer = try DescriptorSharer(authentication: key())
    defer { sharer.close() }

    let (ours, theirs) = try makeSocketPair(framing: .multiprocessing)
    let connection = try theirs.withDescriptor { try sharer.share($0) }
    theirs.close()
    try await peer.send(.tuple(["recv_connection", 7]))
    try await peer.send(connection.connectionValue())
    #expect(try await ours.receive() == ["through", 7])
    try await ours.send("and back")
    #expect(try await peer.receive() == "and back")

    let (raw, other) = try makeSocketPair()
    let socket = try other.withDescriptor { try sharer.share($0) }
    other.close()
    try await peer.send(.tuple(["recv_socket", "hello"]))
    try await peer.send(socket.socketValue(family: AF_UNIX, type: Int32(SOCK_STREAM.rawValue)))
    #expect(try await raw.receive(exactly: 5) == Array("hello".utf8))
    try await raw.send("back")
    #expect(try await peer.receive() == "back")

    #expect(sharer.count == 0)
    try await Self.quit(peer)
    #expect(try await child.exitStatus == .exited(0))
  }

  @Test func `a shared descriptor is given away once, or taken back`() async throws {
    let sharer = try DescriptorSharer(authentication: key())
    let file = try file("shared")
    defer { try? file.close() }
    let first = try sharer.share(file)
    let second = try sharer.share(file)
    #expect(sharer.takeBack(second))
    #expect(!sharer.takeBack(second))
    let descriptor = try await first.detach(authentication: key())
    #expect(try descriptor.withDescriptor { try text(of: $0) } == "shared")
    #expect(SharedDescriptor(first.pickleValue) == first)
    #expect(SharedDescriptor("nothing") == nil)
    sharer.close()
    #expect(throws: EndpointError.self) { try sharer.share(file) }
  }
}

/// A descriptor on its way from a thread.
final class FileDescriptorBox: Sendable {
  private let number: FileDescriptor

  init(_ descriptor: consuming OwnedDescriptor) { number = descriptor.release() }

  func take() -> OwnedDescriptor { OwnedDescriptor(adopting: number) }
}
