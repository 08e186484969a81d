import Foundation
import SWMessaging
import SWMsgPack
import SWTesting
import TestSupport
import Testing

/// Python's socketwrapper 0.2.0 and msgpack 1.2.4 at the other end.
@Suite(
  .enabled(if: PythonPeer.isAvailable, Comment(rawValue: PythonPeer.missing)), .lastResort, .leavesNothing)
struct MsgPackTests {
  static let values: [MsgPackValue] =
    [
      nil, true, false, 0, -1, 127, 128, -32, -33, 255, 65_536, .int(.min), .int(.max), .uint(.max), 0.5,
      -1e300, "",
      "héllo", .binary([]), .binary([0xff, 0, 0xc1]), .extension(type: 5, [1, 2, 3]),
      .extension(type: 127, Array(repeating: 9, count: 16)), .array([]), [1, [2, ["x", nil]]], [:],
      ["data": .binary(Array("Hello world!".utf8))], [1: "int", nil: "nil", false: 1, .binary([7]): 2.5],
    ]
    + [31, 32, 255, 256, 65_535, 65_536].flatMap { count in
      [
        MsgPackValue.string(String(repeating: "x", count: count)),
        .binary(Array(repeating: 0x80, count: count)), .array(Array(repeating: 7, count: count)),
        .map((0..<count).map { .init(.int(Int64($0)), nil) }),
        .extension(type: 1, Array(repeating: 3, count: count)),
      ]
    }
    + [
      MsgPackTimestamp(seconds: 0, nanoseconds: 0), MsgPackTimestamp(seconds: 4_294_967_295, nanoseconds: 0),
      MsgPackTimestamp(seconds: 1_700_000_000, nanoseconds: 123_456_789),
      MsgPackTimestamp(seconds: 17_179_869_184, nanoseconds: 1),
      MsgPackTimestamp(seconds: -1, nanoseconds: 999_999_999),
      MsgPackTimestamp(seconds: .min, nanoseconds: 0),
    ].map(\.value)

  @Test(arguments: PythonPeer.Place.allCases, PythonPeer.Mode.allCases)
  func `values of every type come back from an echo`(
    _ place: PythonPeer.Place, _ mode: PythonPeer.Mode
  ) async throws {
    let peer = try await PythonPeer.start(
      "echo", framing: .msgPackValues, named: "msgpack", at: place, mode: mode)
    for value in Self.values {
      async let reply = peer.channel.receive()
      try await peer.channel.send(value)
      #expect(try await reply == value)
    }
    peer.channel.finishSending()
    #expect(try await peer.channel.next() == nil)
    #expect(try await peer.exitStatus == .exited(0))
  }

  @Test func `an exact endpoint reads what Python's own stream of values writes`() async throws {
    let interpreter = try #require(PythonPeer.interpreter)
    let peer = try await PythonPeer.spawn(
      interpreter, "peer.py",
      ["echo", "--framing", "msgpack", "--impl", "msgpack", "--fd", "3"],
      at: .descriptor(3), framing: .msgPackValues)
    let exact = try peer.channel.withDescriptor { number throws(EndpointError) in
      try MessageReader(duplicating: number, framing: .msgPackValues, mode: .exact)
    }
    for value in Self.values {
      async let reply = exact.receive()
      try await peer.channel.send(value)
      #expect(try await reply == value)
    }
    peer.channel.finishSending()
    #expect(try await peer.exitStatus == .exited(0))
  }

  @Test(arguments: PythonPeer.Mode.allCases)
  func `a peer that floods gets its own values back`(_ mode: PythonPeer.Mode) async throws {
    let peer = try await PythonPeer.start(
      "flood", ["--random", "1000", "--seed", "5", "--max-size", "3000"], framing: .msgPackValues,
      named: "msgpack",
      at: .socketPair, mode: mode)
    for try await value in peer.channel.messages { try await peer.channel.send(value) }
    #expect(try await peer.exitStatus == .exited(0))
  }

  @Test func `what Python builds of a structure is that structure`() async throws {
    struct Row: Codable, Equatable, Sendable {
      var id: UInt64
      var name: String
      var when: Date
      var data: Data
      var inner: [String: [Double]]
      var none: Int?
    }
    let row = Row(
      id: .max, name: "n", when: Date(timeIntervalSince1970: 1_700_000_000.5), data: Data([0xff]),
      inner: ["k": [1, 2.5]])
    let peer = try await PythonPeer.start(
      "echo", framing: .msgPack([Row].self), named: "msgpack", at: .socketPair)
    let rows = Array(repeating: row, count: 500)
    async let reply = peer.channel.receive()
    try await peer.channel.send(rows)
    #expect(try await reply == rows)
    peer.channel.finishSending()
    #expect(try await peer.exitStatus == .exited(0))
  }

  // Fault 18 of socketwrapper: after a message that is refused every later reply is one off.
  @Test func `after a message that is refused the replies are still in step`() async throws {
    let peer = try await PythonPeer.start(
      "source",
      [
        "--json", #"{"t": "str", "v": "first"}"#, "--json", #"{"t": "int", "v": "2"}"#,
        "--json", #"{"t": "str", "v": "third"}"#, "--raw-hex", "a2fffe07a1e408",
      ],
      framing: .msgPackValues, named: "msgpack", at: .socketPair)
    let texts = try peer.channel.withDescriptor { number throws(EndpointError) in
      try MessageReader(duplicating: number, framing: .msgPackValues, mode: .exact)
    }
    let typed = try peer.channel.withDescriptor { number throws(EndpointError) in
      try MessageReader(
        duplicating: number, framing: MsgPackFraming<String, String>(), mode: .exact)
    }
    #expect(try await typed.receive() == "first")
    await #expect(throws: EndpointError.self) { try await typed.receive() }
    #expect(try await typed.receive() == "third")
    await #expect(throws: EndpointError.self) { try await texts.receive() }
    #expect(try await texts.receive() == 7)
    await #expect(throws: EndpointError.self) { try await texts.receive() }
    #expect(try await texts.receive() == 8)
    #expect(try await texts.next() == nil)
  }
}
