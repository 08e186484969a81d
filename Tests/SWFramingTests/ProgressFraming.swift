import SWFraming
import Synchronization

/// Any byte framing, with progress: long frames are asked for in pieces, and what was received and sent is
/// told to a log.
///
/// ```
///   ╭── piece ──┬── piece ──┬── pie ─╮
///   │ header  payload                │      .atLeast(piece), .atLeast(2 * piece), .frame(…)
///   ╰────────────────────────────────╯
/// ```
struct ProgressFraming<Base: ByteFraming>: ByteFraming {
  let base: Base
  let pieceByteCount: Int
  let log: ProgressLog

  init(_ base: Base, pieceByteCount: Int, log: ProgressLog) {
    self.base = base
    self.pieceByteCount = pieceByteCount
    self.log = log
  }

  func makeScanner() -> Scanner {
    Scanner(base: base.makeScanner(), pieceByteCount: pieceByteCount, log: log)
  }

  func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    try base.envelope(for: payload)
  }

  var observesSending: Bool { true }

  func didSend(count: Int, of total: Int) { log.append(.sent(count, of: total)) }

  struct Scanner: FrameScanner {
    var base: Base.Scanner
    let pieceByteCount: Int
    let log: ProgressLog
    /// What the base has demanded at last: once it has, it must not be asked again.
    var whole: FrameDemand?

    mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      let whole: FrameDemand
      if let known = self.whole {
        whole = known
      } else {
        let demand = try base.demand(in: received)
        guard demand.isFinal else { return demand }
        self.whole = demand
        whole = demand
      }

      log.append(.received(min(received.count, whole.byteCount), of: whole.byteCount))
      // On a grid, so that demands do not run ahead of the bytes: the next border behind what is there.
      let next = (received.count / pieceByteCount + 1) * pieceByteCount
      return next < whole.byteCount ? .atLeast(next) : whole
    }
  }
}

/// What a ``ProgressFraming`` was told, in order.
final class ProgressLog: Sendable {
  enum Entry: Equatable, Sendable {
    case received(Int, of: Int)
    case sent(Int, of: Int)
  }

  private let state = Mutex<[Entry]>([])

  var entries: [Entry] { state.withLock { entries in entries } }

  func append(_ entry: Entry) { state.withLock { entries in entries.append(entry) } }
}
