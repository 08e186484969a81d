import Foundation
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Error texts say what was done to what, and why it failed.
@Suite(.lastResort, .leavesNothing) struct ErrorTextTests {
  private func text<T>(of call: () async throws -> T) async -> String? {
    await endpointError { try await call() }?.description
  }

  @Test func `a transport's error says what could not be done, and the error's text and name`() async throws {
    #expect(
      TransportError(.receive, .connectionReset).description
        == "cannot receive: Connection reset by peer (ECONNRESET)")
    #expect(TransportError(.send, .brokenPipe).description == "cannot send: Broken pipe (EPIPE)")
    #expect(
      TransportError(.makePipe, .tooManyOpenFiles).description
        == "cannot make a pipe: Too many open files (EMFILE)")
    #expect(
      TransportError(.offload, Errno(rawValue: 123_456)).description.hasPrefix(
        "cannot start a helper thread: Unknown error 123456"))
    let (reader, writer) = try makePipe(framing: .varInt)
    reader.close()
    #expect(await text { try await writer.send("x") } == "cannot send: Broken pipe (EPIPE)")
  }

  @Test func `an error names the descriptor, the variable and the address`() async throws {
    #expect(
      blockingError { try SocketReader(adopting: 12_345) }?.description
        == "cannot take over descriptor 12345: Bad file descriptor (EBADF)")
    #expect(
      blockingError { try MessageDuplex(inheritedFrom: "SW_NO_SUCH", framing: .varInt) }?.description
        == "the environment variable SW_NO_SUCH is not set")
    unsafe setenv("SW_TEST_WORD", "three", 1)
    unsafe setenv("SW_TEST_CLOSED", "12345", 1)
    #expect(
      blockingError { try MessageDuplex(inheritedFrom: "SW_TEST_WORD", framing: .varInt) }?.description
        == "the environment variable SW_TEST_WORD does not hold the number of a descriptor")
    #expect(
      blockingError { try MessageDuplex(inheritedFrom: "SW_TEST_CLOSED", framing: .varInt) }?.description
        == "cannot take over the descriptor that the environment variable SW_TEST_CLOSED names: "
        + "Bad file descriptor (EBADF)")
    let (left, _) = try makeSocketPair(.unixDatagrams)
    let nobody = try #require(SocketAddress(abstractName: "sw-\(UUID())"))
    let error = await endpointError { try await left.send([1], to: nobody) }
    #expect(error?.subject == .address(nobody))
    #expect(error?.description.hasPrefix("cannot send to \(nobody): ") == true)
  }

  @Test func `an error says how far it has come`() async throws {
    let (left, right) = try makeSocketPair()
    let messages = MessageDuplex(over: left)
    #expect(await text { try await messages.receive(timeout: .zero) } == "timed out")
    try await right.send(try varIntFrame(pattern(100))[..<10])
    #expect(
      await text { try await messages.receive(timeout: .zero) } == "timed out after 10 bytes of a message")
    right.finishSending()
    #expect(
      await text { try await messages.receive() } == "the stream ended after 10 bytes of a message")
    left.close()
    #expect(await text { try await messages.receive() } == "the endpoint is closed")
    #expect(EndpointError(.endOfStream).description == "end of stream")
    #expect(
      EndpointError(.timedOut, byteCount: 1, isCommitted: true, messageCount: 3).description
        == "timed out after 1 byte of a message; the rest of it will be sent; 2 messages before")
    #expect(
      EndpointError(.timedOut, byteCount: 1, isCommitted: true, messageCount: 1).description
        == "timed out after 1 byte of a message; the rest of it will be sent")
    #expect(EndpointError(.timedOut, messageCount: 3).description == "timed out; 3 messages before")
  }

  @Test func `what cannot be sent is not the peer's fault, and what was broken is not the sender's`()
    async throws
  {
    let (left, right) = try makeSocketPair()
    let lines = MessageDuplex(over: left, framing: .lines)
    let unsendable = await text { try await lines.send("two\nlines") }
    #expect(
      unsendable?.hasPrefix("cannot send the message: the framing cannot carry the payload") == true)
    let bare = MessageDuplex(over: left, framing: .datagram)
    #expect(
      await text { try await bare.send("x") }
        == "cannot send the message: the framing needs datagrams, and the transport carries a stream")
    #expect(
      await endpointError { try await bare.send(contentsOf: [[1]]) }?.description
        == "cannot send the message: the framing needs datagrams, and the transport carries a stream")
    let reader = MessageDuplex(over: right, framing: .varInt, maximumFrameSize: 10)
    try await left.send(try varIntFrame(pattern(20)))
    #expect(
      await text { try await reader.receive() }
        == "the peer broke the framing: a frame of 21 bytes, and the limit is 10")
  }

  @Test func `a message that cannot be coded says in which direction`() async throws {
    let framing = LineFraming.lines.mapping(
      receiving: { (_: [UInt8]) throws -> Int in throw Failure() },
      sending: { (_: Int) throws -> [UInt8] in throw Failure() })
    let (left, right) = try makeSocketPair()
    let messages = MessageDuplex(over: left, framing: framing)
    #expect(await text { try await messages.send(1) } == "cannot encode the message: no")
    try await right.send("x\n")
    #expect(await text { try await messages.receive() } == "cannot decode the message: no")
  }

  private struct Failure: Error, CustomStringConvertible {
    var description = "no"
  }

  /// A framing or a codec may tell what the peer has sent.
  @Test func `the text of a codec's error is one line, however the peer has chosen it`() {
    let hostile = "found \u{1b}[2J\u{9b}1A\nAug 1 su: root\u{202e}"
    let shown = #"found \u{1B}[2J\u{9B}1A\nAug 1 su: root\u{202E}"#
    #expect(
      EndpointError(.codec(Failure(description: hostile))).description
        == "cannot decode the message: \(shown)")
    #expect(
      EndpointError(.framing(FramingError(.malformedHeader, offset: 0, explanation: hostile))).description
        == "the peer broke the framing: malformed header at byte 0: \(shown)")
    let long = EndpointError(.codec(Failure(description: hostile + String(repeating: "x", count: 1_000_000))))
    #expect(long.description.hasPrefix("cannot decode the message: \(shown)xxx"))
    #expect(long.description.utf8.count < 2100 && long.description.hasSuffix("x… (1000032 bytes)"))
  }

  @Test func `inheritance is set, or the caller is told why not`() async throws {
    let (left, right) = try makeSocketPair()
    try left.setInheritable(true)
    #expect(left.isInheritable)
    left.isInheritable = false
    #expect(!left.isInheritable)
    left.close()
    #expect(blockingError { try left.setInheritable(true) }?.reason == .closed)
    // The property cannot throw: it says what is so.
    left.isInheritable = true
    #expect(!left.isInheritable)
    let endpoint = SocketDuplex(transport: ScriptedTransport(receiving: [], sending: nil))
    #expect(
      blockingError { try endpoint.setInheritable(true) }?.reason
        == .transport(TransportError(.inheritance, .notSupported)))
    withExtendedLifetime(right) {}
  }
}
