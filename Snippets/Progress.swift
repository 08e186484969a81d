// A framing of one's own: it wraps another, asks for long frames in pieces, and so can tell how far a
// message has come, in both directions. The bytes on the wire are those of the framing inside.
import SWMessaging
import Synchronization

/// What was told last, and how often.
final class Meter: Sendable {
  private let state = Mutex((count: 0, total: 0, calls: 0))
  private let title: String

  init(_ title: String) { self.title = title }

  func tell(_ count: Int, of total: Int) {
    let line: String? = state.withLock { state in
      let quarter = 4 * count / max(total, 1)
      let isNews = state.total != total || quarter > 4 * state.count / max(total, 1)
      state = (count, total, state.calls + 1)
      return isNews ? "\(title) \(count) of \(total) bytes" : nil
    }
    if let line { print(line) }
  }

  var last: (count: Int, total: Int, calls: Int) { state.withLock { $0 } }
}

struct ProgressFraming: ByteFraming {
  let base = VarIntFraming()
  let pieceByteCount = 65_536
  let received: Meter
  let sent: Meter

  func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    try base.envelope(for: payload)
  }

  var observesSending: Bool { true }
  func didSend(count: Int, of total: Int) { sent.tell(count, of: total) }

  func makeScanner() -> Scanner {
    Scanner(base: base.makeScanner(), pieceByteCount: pieceByteCount, meter: received)
  }

  struct Scanner: FrameScanner {
    var base: VarIntFraming.Scanner
    let pieceByteCount: Int
    let meter: Meter
    /// The frame, once its length is known.
    var whole: FrameDemand?

    mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      if whole == nil {
        let demand = try base.demand(in: received)
        guard demand.isFinal else { return demand }
        whole = demand
      }
      guard let frame = whole else { return .atLeast(received.count + 1) }
      // The last piece is not asked for as a piece: a final demand is not scanned again.
      let next = (received.count / pieceByteCount + 1) * pieceByteCount
      guard next < frame.byteCount else {
        meter.tell(frame.byteCount, of: frame.byteCount)
        return frame
      }
      meter.tell(received.count, of: frame.byteCount)
      return .atLeast(next)
    }
  }
}

let meters = ["left received", "left sent", "right received", "right sent"].map { Meter($0) }
let (left, right) = try makeSocketPair(
  framing: ProgressFraming(received: meters[0], sent: meters[1]),
  peer: ProgressFraming(received: meters[2], sent: meters[3]))

let message = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31) }
let echo = Task { try await right.send(try await right.receive()) }
try await left.send(message)
let reply = try await left.receive(timeout: .seconds(10))
try await echo.value

precondition(reply == message)
for meter in meters {
  let (count, total, calls) = meter.last
  precondition(count == total && total > message.count && calls > 1, "told to the end, and on the way")
}
print("1 MiB went there and back")
