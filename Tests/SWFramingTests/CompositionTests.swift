import Foundation
import SWFraming
import SWJSON
import SWTesting
import TestSupport
import Testing

struct Request: Codable, Equatable, Sendable {
  var id: Int
  var text: String
}

enum Reply: Codable, Equatable, Sendable {
  case done(Int)
  case failed(String)
}

@Suite(.lastResort, .leavesNothing) struct CompositionTests {
  static let texts = [
    "", "hello", "two\nlines", "\r\n", "\u{2028}\u{0}\u{7f}", "é中😀", String(repeating: "x", count: 5000),
  ]
  let requests = texts.enumerated().map { Request(id: $0.offset, text: $0.element) }
  let replies: [Reply] = [.done(0), .done(.max), .failed(""), .failed("line\nfeed")]

  @Test func `JSON over lines keeps the laws, both ways`() throws {
    let client = LineFraming.lines.json(receiving: Reply.self, sending: Request.self)
    try checkFraming(client, peer: client.flipped, messages: replies, measuresTime: !isSanitized, isEqual: ==)
    try checkFraming(
      client.flipped, peer: client, messages: requests, measuresTime: !isSanitized,
      largeMessage: { byteCount in Request(id: 1, text: String(repeating: "\n", count: byteCount / 2)) },
      isEqual: ==)
  }

  @Test func `JSON goes over any byte framing`() throws {
    try checkFraming(ContentLengthFraming.contentLength.json(Request.self), messages: requests)
    try checkFraming(VarIntFraming.varInt.json(Request.self), messages: requests)
    try checkFraming(
      AnyByteFraming(.delimited()).json([String: [Int]].self), messages: [[:], ["a": [1, 2]]])
  }

  @Test func `JSON over lines holds one line feed, at its end`() throws {
    let framing = LineFraming.lines.json(Request.self)
    for request in requests {
      let frame = try framing.frame(of: request)
      #expect(frame.firstIndex(of: 0x0a) == frame.count - 1)
    }
    let keyed = LineFraming.lines.json([String: String].self)
    let frame = try keyed.frame(of: ["a\nkey": "a\nvalue"])
    #expect(frame.firstIndex(of: 0x0a) == frame.count - 1)
  }

  @Test func `JSON printed prettily does not go over lines`() {
    let framing = LineFraming.lines.json(Request.self) { encoder, _ in
      encoder.outputFormatting = .prettyPrinted
    }
    let error = #expect(throws: FramingError.self) { try framing.frame(of: requests[0]) }
    #expect(error?.kind == .unrepresentable)
  }

  @Test func `the coders can be configured, and the other side has the same options`() throws {
    let framing = LineFraming.lines.json(receiving: Date.self, sending: [String: Date].self) {
      encoder, decoder in
      encoder.dateEncodingStrategy = .iso8601
      decoder.dateDecodingStrategy = .iso8601
    }
    let noon = Date(timeIntervalSince1970: 1_700_000_000)
    #expect(try framing.frame(of: ["at": noon]) == Array("{\"at\":\"2023-11-14T22:13:20Z\"}\n".utf8))
    #expect(try framing.flipped.frame(of: noon) == Array("\"2023-11-14T22:13:20Z\"\n".utf8))
    let (dates, _) = try readByHand(framing, chunks: [framing.flipped.frame(of: noon)])
    #expect(dates == [noon])
  }

  @Test(arguments: ["", "{", "[1]", "{\"id\":1}", "{\"id\":1,\"text\":2}", "\u{feff}x"])
  func `what is no JSON, or of another type, is a decoding error`(_ line: String) {
    let framing = LineFraming.lines.json(Request.self)
    #expect(throws: DecodingError.self) { try readByHand(framing, chunks: [Array((line + "\n").utf8)]) }
  }

  @Test func `JSON that nests without end is a decoding error`() throws {
    struct Nest: Codable, Sendable {
      var inner: [Nest]

      init(from decoder: any Decoder) throws {
        inner = try decoder.singleValueContainer().decode([Nest].self)
      }
    }
    let framing = LineFraming.lines.json(Nest.self)
    let deep = { (depth: Int) in
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "\n"
    }
    #expect(throws: DecodingError.self) { try readByHand(framing, chunks: [Array(deep(100_000).utf8)]) }
    #expect(try readByHand(framing, chunks: [Array(deep(500).utf8)]).messages.count == 1)
  }

  @Test func `a mapped framing keeps the laws and throws what its functions throw`() throws {
    struct NoNumber: Error, Equatable {}
    let numbers = LineFraming.lines.mapping(
      receiving: { line throws -> Int in
        guard let number = Int(String(decoding: line, as: UTF8.self)) else { throw NoNumber() }
        return number
      },
      sending: { (number: Int) in
        if number < 0 { throw NoNumber() }
        return Array("\(number)".utf8)
      })
    try checkFraming(numbers, messages: [0, 1, 42, .max])
    #expect(throws: NoNumber()) { try numbers.frame(of: -1) }
    #expect(throws: NoNumber()) { try readByHand(numbers, chunks: [Array("one\n".utf8)]) }
  }

  @Test func `adaptors go over adaptors`() throws {
    let log = ProgressLog()
    let framing = ContentLengthFraming.contentLength.progress(every: 100, log: log).json(Request.self)
      .mapping(
        receiving: \.text, sending: { (text: String) in Request(id: 1, text: text) })
    try checkFraming(framing, messages: Self.texts)
    #expect(framing.observesSending)
    framing.didSend(count: 3, of: 4)
    #expect(log.entries.last == .sent(3, of: 4))
    try checkFraming(
      LineFraming.lines.json(Request.self).progress(every: 64, log: log), messages: requests)
  }

  @Test func `a framing that sends what it receives is its own other side`() throws {
    let framing = LengthPrefixedFraming(.uint16).flipped
    #expect(try framing.frame(of: [1]) == [0, 1, 1])
    let json = LineFraming.lines.json([Int].self).flipped
    #expect(try json.frame(of: [1, 2]) == Array("[1,2]\n".utf8))
  }
}
