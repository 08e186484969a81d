import SWFraming
import SWPickle
import SWTesting
import TestSupport
import Testing

/// The part of `Vectors/multiprocessing.json` that is about values.
struct MultiprocessingValueVectors: Decodable, Sendable {
  static let golden: MultiprocessingValueVectors = vectors("multiprocessing")

  struct Sent: Decodable, Sendable {
    var value: TaggedValue
    var frame: Wire
  }
  struct Header: Decodable, Sendable {
    var length: Int
    var header: Wire
  }
  struct Hostile: Decodable, Sendable {
    var wire: Wire
  }

  enum CodingKeys: String, CodingKey {
    case four = "sendProtocol4Python3.8To3.13"
    case five = "sendProtocol5Python3.14"
    case longHeaders, hostile
  }
  var four: [Sent]
  var five: [Sent]
  var longHeaders: [Header]
  var hostile: [Hostile]
}

@Suite(.lastResort, .leavesNothing) struct MultiprocessingFramingTests {
  @Test func `a value becomes the frame that Python sends, and back`() throws {
    for golden in MultiprocessingValueVectors.golden.four {
      let value = golden.value.value
      #expect(try MultiprocessingFraming.multiprocessing.frame(of: value) == golden.frame.bytes)
      let (values, end) = try readByHand(.multiprocessing, chunks: [golden.frame.bytes])
      #expect(values.map(\.tagged) == [value.tagged])
      #expect(end == .betweenFrames)
    }
    for golden in MultiprocessingValueVectors.golden.five {
      let framing: MultiprocessingFraming = .multiprocessing(version: .five)
      #expect(try framing.frame(of: golden.value.value) == golden.frame.bytes)
    }
  }

  @Test(arguments: MultiprocessingValueVectors.golden.longHeaders)
  func `the border of the long header is Python's`(_ golden: MultiprocessingValueVectors.Header) throws {
    var scanner = MultiprocessingFraming.multiprocessing.makeScanner()
    let header = golden.header.bytes
    #expect(
      try scanner.demand(in: header)
        == .frame(
          byteCount: header.count + golden.length, payload: header.count..<(header.count + golden.length)))
  }

  @Test func `a hostile header costs nothing, and names what it found`() throws {
    for golden in MultiprocessingValueVectors.golden.hostile {
      let (values, end) = try readByHand(MultiprocessingFraming.multiprocessing, chunks: [golden.wire.bytes])
      #expect(values.isEmpty && end != .betweenFrames)
    }
    for negative: [UInt8] in [[0xff, 0xff, 0xff, 0xfe], [0x80, 0, 0, 0]] {
      let (_, end) = try readByHand(MultiprocessingFraming.multiprocessing, chunks: [negative])
      guard case .refused(let error) = end else {
        Issue.record("not refused: \(end)")
        continue
      }
      #expect(error.kind == .malformedHeader && error.offset == 0 && error.explanation.contains("found -"))
    }
  }

  static let messages: [PickleValue] = [
    .none, true, 7, 1.5, "hello", ["id": 7, "text": "…"], [1, [2, [3, []]]], .tuple([1, "a"]), .set([1, 2]),
    .bytes([UInt8](repeating: 7, count: 70_000)), .list((0..<1001).map { PickleValue($0) }),
    PickleValue(NumPyArray([1.5, 2.5])),
    PickleValue(PickleInt(twosComplement: [UInt8](repeating: 1, count: 300)[...])),
  ]

  @Test func `the laws are kept`() throws {
    try checkFraming(
      MultiprocessingFraming.multiprocessing, messages: Self.messages, measuresTime: !isSanitized,
      largeMessage: { .bytes([UInt8](repeating: 1, count: $0)) })
    try checkFraming(
      MultiprocessingFraming.multiprocessing(version: .five), messages: Self.messages, measuresTime: false)
  }

  struct Request: Codable, Equatable, Sendable {
    var id: Int
    var text: String
  }

  @Test func `the laws are kept with types of Swift's`() throws {
    typealias Typed = TypedPickleFraming<MultiprocessingBytesFraming, Request, Request>
    let framing: Typed = .multiprocessing(receiving: Request.self, sending: Request.self)
    try checkFraming(
      framing, messages: [Request(id: 7, text: "…"), Request(id: -1, text: "")], measuresTime: false)
    #expect(
      try framing.frame(of: Request(id: 7, text: "…"))
        == MultiprocessingFraming.multiprocessing.frame(of: ["id": 7, "text": "…"]))
  }

  // Fault 17 of socketwrapper: a pickle of the peer's runs `os.system`.
  @Test func `a pickle that calls os_system runs nothing, is refused by name, and only itself is lost`()
    throws
  {
    let attack = Array("cos\nsystem\n(S'echo pwned > /dev/tty'\ntR.".utf8)
    let framing: MultiprocessingFraming = .multiprocessing(registry: .strict)
    let frames = [0, 0, 0, UInt8(attack.count)] + attack
    var scanner = framing.makeScanner()
    let demand = try scanner.demand(in: frames)
    let payload = try #require(demand.payload)
    let error = try #require(throws: PickleError.self) {
      try framing.decode(frames.span, payload: payload, scanned: scanner)
    }
    #expect(error.kind == .notAllowed(PickleName("os", "system")) && error.offset == 0)
    #expect("\(error)".contains("os.system"))
    // Where it is not refused, it is a value that says what Python would have done.
    let value = try PickleValue(pickle: attack)
    #expect(value.object?.name == PickleName("os", "system"))
    #expect(value.object?.arguments.first == "echo pwned > /dev/tty")
    // The frame's border is known, so the next message arrives.
    #expect(demand.byteCount == frames.count)
    let (values, _) = try readByHand(framing, chunks: [framing.frame(of: "next")])
    #expect(values == ["next"])
  }

  @Test func `large bytes are sent from where they are`() throws {
    let large = [UInt8](repeating: 7, count: 1 << 20)
    var parts = FrameParts()
    try MultiprocessingFraming.multiprocessing.encode(["data": .bytes(large)], into: &parts)
    let isShared = parts.finish().contains { part in
      unsafe part.withUnsafeBufferPointer { part in
        unsafe large.withUnsafeBufferPointer { large in unsafe part.baseAddress == large.baseAddress }
      }
    }
    #expect(isShared)
  }
}
