// How far a message has come, in both directions: long frames are asked for in pieces, and what the transport
// accepts is told. The bytes on the wire are those of the framing inside.
import SWMessaging
import Synchronization

/// The last report, and the number of reports.
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

let meters = ["left received", "left sent", "right received", "right sent"].map { Meter($0) }
func metered(_ received: Meter, _ sent: Meter) -> ProgressFraming<VarIntFraming> {
  VarIntFraming.varInt.progress(received: received.tell, sent: sent.tell)
}
let (left, right) = try makeSocketPair(
  framing: metered(meters[0], meters[1]), peer: metered(meters[2], meters[3]))

let message = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31) }
let echo = Task { try await right.send(try await right.receive()) }
try await left.send(message)
let reply = try await left.receive(timeout: .seconds(60))
try await echo.value

precondition(reply == message)
for meter in meters {
  let (count, total, calls) = meter.last
  precondition(
    count > total / 2 && total > message.count && calls > 1, "told to the last piece, and on the way")
}
print("1 MiB went there and back")

// Prints:
//   left sent … of 1048580 bytes
//   …
//   1 MiB went there and back
