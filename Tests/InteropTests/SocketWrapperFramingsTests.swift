import Foundation
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// Python's socketwrapper 0.2.0 at the other end, with its other framings of bytes.
@Suite(
  .enabled(if: PythonPeer.isAvailable, Comment(rawValue: PythonPeer.missing)), .lastResort, .leavesNothing)
struct SocketWrapperFramingsTests {
  /// A framing and how `peer.py` is told of it.
  struct Case: Sendable, CustomTestStringConvertible {
    let framing: AnyByteFraming
    let options: [String]
    /// Bytes that no payload may hold.
    var excluded: [UInt8] = []
    var name: String { excluded.isEmpty ? "mp-bytes" : "delimiter" }
    var testDescription: String { ([name] + options).joined(separator: " ") }

    func payload(_ size: Int) -> [UInt8] {
      Payloads.payload(size).map { excluded.contains($0) ? 0x7e : $0 }
    }

    func start(
      _ role: String, _ more: [String] = [], at place: PythonPeer.Place, mode: PythonPeer.Mode = .sync
    ) async throws -> ChildProcess<AnyByteFraming> {
      try await PythonPeer.start(role, options + more, framing: framing, named: name, at: place, mode: mode)
    }
  }

  static let cases =
    [Case(framing: AnyByteFraming(.multiprocessingBytes), options: [])]
    + ([[0], [0x0d, 0x0a], [0x2d, 0x2d], Array("aba".utf8)] as [[UInt8]]).map { delimiter in
      let digits = delimiter.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
      return Case(
        framing: AnyByteFraming(.delimited(by: delimiter)), options: ["--delimiter", digits],
        excluded: delimiter)
    }
  static let sizes = [0, 1, 2, 511, 512, 65_535, 65_536, 1 << 18]

  @Test(arguments: cases, PythonPeer.Mode.allCases)
  func `messages of every size come back from an echo`(_ test: Case, _ mode: PythonPeer.Mode) async throws {
    let peer = try await test.start("echo", at: .socketPair, mode: mode)
    for size in Self.sizes {
      let payload = test.payload(size)
      async let reply = peer.channel.receive()
      try await peer.channel.send(payload)
      #expect(areSame(try await reply, payload), "\(size) bytes")
    }
    peer.channel.finishSending()
    #expect(try await peer.channel.next() == nil)
    #expect(try await peer.exitStatus == .exited(0))
  }

  @Test(arguments: cases)
  func `a peer that floods gets its own messages back, from blocking calls too`(_ test: Case) async throws {
    let peer = try await test.start(
      "flood", ["--random", "500", "--seed", "3", "--max-size", "3000"], at: .standardStreams)
    try await TestThread {
      while let message = try peer.channel.blocking.next() { try peer.channel.blocking.send(message) }
    }.value
    #expect(try await peer.exitStatus == .exited(0))
  }

  @Test(arguments: cases)
  func `a source that writes byte by byte, and breaks off, is read to the last byte`(_ test: Case)
    async throws
  {
    let peer = try await test.start(
      "source", ["--hex", "68656c6c6f", "--hex", "", "--raw-hex", "7878", "--chunk", "1"], at: .socketPair)
    #expect(try await peer.channel.receive() == Array("hello".utf8))
    #expect(try await peer.channel.receive() == [])
    let error = await #expect(throws: EndpointError.self) { try await peer.channel.receive() }
    #expect(error?.reason == .truncated)
    #expect(error?.partialBytes == Array("xx".utf8))
  }

  @Test(arguments: cases)
  func `a sink gets every message, sent one by one and all at once`(_ test: Case) async throws {
    let payloads = [0, 1, 300, 2].map(test.payload)
    let expected = payloads.flatMap { payload in
      ["--hex", payload.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()]
    }
    for isBatch in [false, true] {
      let peer = try await test.start("sink", expected + ["--expect-end", "eof"], at: .socketPair)
      if isBatch {
        try await peer.channel.send(contentsOf: payloads)
      } else {
        for payload in payloads { try await peer.channel.send(payload) }
      }
      peer.channel.finishSending()
      #expect(try await peer.exitStatus == .exited(0))
    }
  }
}
