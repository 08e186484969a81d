import SWMultiprocessing
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// The handshake on connections, both sides in this process.
@Suite(.needsKeys, .lastResort, .leavesNothing) struct AuthenticationTests {
  @Test(arguments: AuthenticationDigest.allCases)
  func `both sides with the key get on, and messages follow`(_ least: AuthenticationDigest) async throws {
    let (left, right) = try makeSocketPair(framing: .multiprocessing)
    async let listening: Void = left.authenticate(as: .listener, with: key(least: least))
    try await right.authenticate(as: .client, with: key(least: least))
    try await right.send(["id": 7])
    try await listening
    #expect(try await left.receive() == ["id": 7])
  }

  @Test func `threads carry out the handshake, too`() async throws {
    let (left, right) = try makeSocketPair(framing: .multiprocessingBytes)
    let thread = TestThread {
      try left.blocking.authenticate(as: .listener, with: key())
      try left.blocking.send("hello")
    }
    let other = TestThread {
      try right.blocking.authenticate(as: .client, with: key())
      return try right.blocking.receive()
    }
    try await thread.value
    #expect(try await other.value == Array("hello".utf8))
  }

  @Test func `an empty key is a key`() async throws {
    let (left, right) = try makeSocketPair(framing: .multiprocessing)
    async let listening: Void = left.authenticate(as: .listener, with: key(""))
    try await right.authenticate(as: .client, with: key(""))
    try await listening
  }

  @Test func `a wrong key is told to both sides, which close`() async throws {
    let (left, right) = try makeSocketPair(framing: .multiprocessing)
    async let listening = authenticationFailure {
      try await left.authenticate(as: .listener, with: key("one"))
    }
    let failure = await authenticationFailure {
      try await right.authenticate(as: .client, with: key("other"))
    }
    #expect(failure == AuthenticationFailure(.rejected, as: .client))
    #expect(await listening == AuthenticationFailure(.wrongAnswer, as: .listener))
    #expect(left.isClosed && right.isClosed)
  }

  @Test func `a listener without a key is waited for until the deadline, and the error says so`() async throws
  {
    let (left, right) = try makeSocketPair(framing: .multiprocessing)
    do {
      try await right.authenticate(
        as: .client, with: key(), address: .abstract("service"), timeout: .milliseconds(20))
      Issue.record("there was no challenge")
    } catch {
      #expect(
        error.description
          == "unix:@service: authentication failed as client: the peer sent no challenge in time; "
          + "a listener without a key sends none")
    }
    #expect(!left.isClosed && right.isClosed)
  }

  @Test func `the time limit of the key holds without a timeout of the call`() async throws {
    let (left, right) = try makeSocketPair(framing: .multiprocessing)
    var hurried = key()
    hurried.timeLimit = .milliseconds(20)
    let failure = await authenticationFailure { [hurried] in
      try await left.authenticate(as: .listener, with: hurried)
    }
    #expect(failure == AuthenticationFailure(.noAnswer, as: .listener))
    withExtendedLifetime(right) {}
  }

  @Test func `a thread's handshake ends at its deadline, too`() async throws {
    let (left, right) = try makeSocketPair(framing: .multiprocessing)
    let thread = TestThread { () -> String in
      do throws(MultiprocessingError) {
        try left.blocking.authenticate(as: .listener, with: key(), timeout: .milliseconds(20))
        return "no error"
      } catch {
        return error.description
      }
    }
    #expect(try await thread.value.contains("the peer did not answer the challenge in time"))
    withExtendedLifetime(right) {}
  }

  @Test func `a client without a key sends something else than an answer`() async throws {
    let (left, right) = try makeSocketPair(framing: .multiprocessing)
    try await right.send(["id": 7])
    let failure = await authenticationFailure { try await left.authenticate(as: .listener, with: key()) }
    guard case .malformed(let text) = failure?.cause else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(text.hasPrefix("expected an answer; found"))
  }

  @Test func `a peer that leaves in the middle is an error at once`() async throws {
    let (left, right) = try makeSocketPair(framing: .multiprocessing)
    right.close()
    let failure = await authenticationFailure { try await left.authenticate(as: .listener, with: key()) }
    #expect(failure == AuthenticationFailure(.ended, as: .listener))
  }

  @Test(
    arguments: [
      [0x7f, 0xff, 0xff, 0xff], [0, 0, 1, 1], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0],
      [0xff, 0xff, 0xff, 0xfe],
    ] as [[UInt8]])
  func `a message of more than 256 bytes is refused when its length has come`(_ header: [UInt8]) async throws
  {
    let (left, right) = try makeSocketPair()
    try await right.send(header)
    let failure = await authenticationFailure { try await left.authenticate(as: .client, with: key()) }
    guard case .malformed = failure?.cause else {
      Issue.record("\(String(describing: failure))")
      return
    }
  }

  @Test func `a message of 256 bytes may have the long header`() async throws {
    let (left, right) = try makeSocketPair()
    var message = Array("#CHALLENGE#{sha256}".utf8)
    message += [UInt8](repeating: 7, count: 256 - message.count)
    try await right.send([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 1, 0] + message)
    async let result = authenticationFailure { try await left.authenticate(as: .client, with: key()) }
    let answer = try await right.receive(exactly: 4 + 8 + 32)
    #expect(answer[4..<12].elementsEqual("{sha256}".utf8))
    right.close()
    #expect(await result == AuthenticationFailure(.ended, as: .client))
  }

  @Test func `a cancelled handshake closes the connection`() async throws {
    let (left, right) = try makeSocketPair(framing: .multiprocessing)
    let task = Task { try await left.authenticate(as: .client, with: key()) }
    task.cancel()
    do {
      try await task.value
      Issue.record("it ended without an error")
    } catch let error as MultiprocessingError {
      guard case .connection(let cause) = error.reason, case .cancelled = cause.reason else {
        Issue.record("\(error)")
        return
      }
    }
    #expect(left.isClosed)
    withExtendedLifetime(right) {}
  }

  @Test func `messages and descriptors right behind the handshake are not lost`() async throws {
    let (left, right) = try makeSocketPair(framing: .multiprocessing)
    left.maximumDescriptors = 1
    let passed = try file("behind")
    defer { try? passed.close() }
    async let listening: Void = left.authenticate(as: .listener, with: key())
    try await right.authenticate(as: .client, with: key())
    try await right.sendHandle(passed)
    try await right.send("after")
    try await listening
    let descriptor = try await left.receiveHandle()
    let content = try descriptor.withDescriptor { try text(of: $0) }
    #expect(content == "behind")
    #expect(try await left.receive() == "after")
  }
}
