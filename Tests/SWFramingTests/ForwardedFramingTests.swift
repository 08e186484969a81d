import Foundation
import SWFraming
import SWJSON
import TestSupport
import Testing

/// Framings around another framing pass on what that framing can do.
@Suite(.lastResort, .leavesNothing) struct ForwardedFramingTests {
  @Test func `an envelope for a length alone is that of the inner framing`() throws {
    func check(_ framing: some ByteFraming, _ isKnown: Bool) throws {
      let envelope = try framing.envelope(forByteCount: 300)
      #expect((envelope != nil) == isKnown)
      if let envelope {
        let whole = try framing.envelope(for: [UInt8](repeating: 0, count: 300).span)
        #expect(envelope.header.array == whole.header.array)
        #expect(envelope.trailer == whole.trailer)
      }
    }
    try check(MultiprocessingBytesFraming(), true)
    try check(AnyByteFraming(MultiprocessingBytesFraming()), true)
    try check(MultiprocessingBytesFraming().progress(), true)
    try check(AnyByteFraming(MultiprocessingBytesFraming().progress()), true)
    try check(AnyByteFraming(LineFraming.lines), false)
    try check(LineFraming.lines.progress(), false)
  }

  struct Request: Codable, Sendable { var ask: String }
  struct Reply: Codable, Sendable { var tell: String }

  @Test func `a mapped framing over one type is its own counterpart`() throws {
    let texts = LineFraming.lines.mapping(
      receiving: { line in String(decoding: line, as: UTF8.self) },
      sending: { (text: String) in Array(text.utf8) })
    #expect(try texts.flipped.decode(filling: Array("a\n".utf8)) == "a")
    #expect(try texts.progress().flipped.decode(filling: Array("a\n".utf8)) == "a")
  }

  @Test func `a mapped framing over two types is not its own counterpart, and says so`() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let client = LineFraming.lines.json(receiving: Reply.self, sending: Request.self)
        .mapping(receiving: { $0.tell }, sending: { (ask: String) in Request(ask: ask) })
      _ = client.flipped
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("map base.flipped instead"))
  }
}
