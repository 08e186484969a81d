import SWFraming
import SWTesting
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct ProgressFramingTests {
  let log = ProgressLog()

  @Test func `a long frame is asked for in pieces until the last`() throws {
    let framing = VarIntFraming().progress(every: 100, log: log)
    let frame = try framing.frame(of: payload(byteCount: 350))
    var scanner = framing.makeScanner()
    var demands = [FrameDemand.atLeast(1)]
    while let last = demands.last, !last.isFinal {
      demands.append(try scanner.demand(in: Array(frame.prefix(last.byteCount))))
    }
    #expect(
      demands == [
        .atLeast(1), .atLeast(2), .atLeast(100), .atLeast(200), .atLeast(300),
        .frame(byteCount: 352, payload: 2..<352),
      ])
    #expect(
      log.entries == [
        .received(2, of: 352), .received(100, of: 352), .received(200, of: 352), .received(300, of: 352),
      ])
  }

  @Test func `a frame that is there at once is not asked for in pieces`() throws {
    let framing = VarIntFraming().progress(every: 100, log: log)
    let stream = try framing.frame(of: payload(byteCount: 350)) + framing.frame(of: [1])
    var scanner = framing.makeScanner()
    #expect(try scanner.demand(in: stream) == .frame(byteCount: 352, payload: 2..<352))
    #expect(log.entries == [.received(352, of: 352)])
  }

  @Test func `messages come through whatever the pieces`() throws {
    let sent = [0, 1, 99, 100, 101, 350].map(payload(byteCount:))
    let framing = VarIntFraming().progress(every: 50, log: log)
    let stream = try sent.flatMap { message in try framing.frame(of: message) }
    let (messages, end) = try readByHand(framing, chunks: stream.cut(into: Array(repeating: 7, count: 100)))
    #expect(messages == sent)
    #expect(end == .betweenFrames)
  }

  @Test func `sending is told as the transport accepts bytes`() throws {
    let framing = VarIntFraming().progress(every: 100, log: log)
    #expect(framing.observesSending)
    // An endpoint calls this when the transport accepts 200, 100 and the other 52 bytes.
    let total = try framing.frame(of: payload(byteCount: 350)).count
    for count in [200, 300, total] { framing.didSend(count: count, of: total) }
    #expect(log.entries == [.sent(200, of: 352), .sent(300, of: 352), .sent(352, of: 352)])
  }

  @Test(arguments: [1, 2, 3, 64, 10_000])
  func `the laws are kept`(_ pieceByteCount: Int) throws {
    try checkFraming(
      VarIntFraming().progress(every: pieceByteCount, log: log),
      messages: [0, 1, 2, 63, 64, 65, 239, 240, 241, 2000].map(payload(byteCount:)),
      measuresTime: !isSanitized, largeMessage: payload(byteCount:))
  }
}
