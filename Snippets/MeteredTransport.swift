// A transport of one's own that stands on another: it counts what goes through, and lets no more through than it
// is told. Framings, endpoints and the transport inside know nothing of it.
import SWMessaging
import SWTesting
import Synchronization

// begin transport
/// Counts the bytes of another transport, and lets so many of them out in a period.
final class MeteredTransport: SocketLike {
  struct Meter {
    var received = 0
    var sent = 0
    var postponed = 0
    /// The bytes that may still go out in this period.
    var allowance: Int
    var period = Deadline.immediately
  }

  private let inner: any SocketLike
  private let bytesPerPeriod: Int
  private let length: Duration
  private let meter: Mutex<Meter>
  private let signal = Mutex<ReadinessSignal?>(nil)

  init(_ inner: any SocketLike, bytes: Int, per length: Duration) {
    self.inner = inner
    bytesPerPeriod = bytes
    self.length = length
    meter = Mutex(Meter(allowance: bytes))
  }

  var counts: (received: Int, sent: Int, postponed: Int) {
    meter.withLock { ($0.received, $0.sent, $0.postponed) }
  }

  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    let allowance = meter.withLock { meter in
      if meter.period.hasPassed {
        meter.allowance = bytesPerPeriod
        meter.period = .after(length)
      }
      if meter.allowance == 0 { meter.postponed += 1 }
      return meter.allowance
    }
    if allowance == 0 {
      // The descriptor may be writable all the time: what it takes is the clock.
      signal.withLock { $0 }?.raise(.writable, after: length)
      return .waitsFor([])
    }
    let attempt = unsafe inner.send(UnsafeRawBufferPointer(rebasing: bytes.prefix(allowance)))
    if case .transferred(let count) = attempt {
      meter.withLock { meter in
        meter.sent += count
        meter.allowance -= count
      }
    }
    return attempt
  }

  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    let attempt = unsafe inner.receive(into: memory)
    if case .transferred(let count) = attempt { meter.withLock { $0.received += count } }
    return attempt
  }

  var readinessSource: ReadinessSource { inner.readinessSource }

  func attach(_ signal: ReadinessSignal) {
    self.signal.withLock { $0 = signal }
    inner.attach(signal)
  }

  func finishSending() throws(TransportError) { try inner.finishSending() }
  func close() { inner.close() }
}
// end transport

/// Two connected ends, the first of which is metered.
func makeEnds(bytes: Int) throws -> (MeteredTransport, SystemTransport) {
  let pair = try DescriptorPair.sockets(.tcp)
  let metered = MeteredTransport(
    try SystemTransport(adopting: pair.first), bytes: bytes, per: .milliseconds(1))
  return (metered, try SystemTransport(adopting: pair.second))
}

// begin check
try checkTransport { try makeEnds(bytes: 20_000_000) }
// end check
print("the metered transport keeps the laws")

// begin use
let (metered, plain) = try makeEnds(bytes: 10_000)
let left = MessageDuplex(transport: metered, framing: .varInt)
let right = MessageDuplex(transport: plain, framing: .varInt)
async let sending: Void = left.send([UInt8](repeating: 7, count: 100_000))
let message = try await right.receive()
try await sending
// end use
let counts = metered.counts
precondition(message.count == 100_000 && counts.sent == 100_004 && counts.postponed > 0)
print("\(counts.sent) bytes went out, and had to wait \(counts.postponed) times")

// Prints:
//   the metered transport keeps the laws
//   100004 bytes went out, and had to wait … times
