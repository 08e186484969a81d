import SWFraming
import Synchronization

/// The reports of a ``ProgressFraming``, in order.
final class ProgressLog: Sendable {
  enum Entry: Equatable, Sendable {
    case received(Int, of: Int)
    case sent(Int, of: Int)
  }

  private let state = Mutex<[Entry]>([])

  var entries: [Entry] { state.withLock { entries in entries } }

  func append(_ entry: Entry) { state.withLock { entries in entries.append(entry) } }
}

extension Framing {
  /// This framing, telling a log.
  func progress(every pieceByteCount: Int, log: ProgressLog) -> ProgressFraming<Self> {
    progress(
      every: pieceByteCount, received: { count, total in log.append(.received(count, of: total)) },
      sent: { count, total in log.append(.sent(count, of: total)) })
  }
}
