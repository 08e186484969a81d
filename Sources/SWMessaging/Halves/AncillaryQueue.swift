internal import SWIO
internal import SystemPackage

/// Ancillary data of a stream, keyed by stream position. It belongs to the message that contains the byte at that position.
///
/// Reads stop behind bytes that carry descriptors, and the kernel prepends bytes that were sent earlier without any. So
/// descriptors belong to the last byte of a read. A writer's credentials apply from the first byte of a read on.
///
/// Most streams carry none, so an empty queue has no storage.
struct AncillaryQueue {
  private struct Arrival: Sendable {
    var position: UInt64
    var descriptors: ReceivedDescriptors?
    var isLost: Bool
  }
  private struct Writer: Sendable {
    var start: UInt64
    /// Nil if several writers wrote the bytes, and who wrote which was forgotten.
    var credentials: SenderCredentials?
  }

  private final class Held {
    var arrivals: [Arrival] = []
    var writers: [Writer] = []
    /// How many descriptors a message may have, as of the last read.
    var limit = Int.max
  }

  /// The number of writers that the queue remembers. With one more, the bytes of the oldest two have none.
  private var mostWriters: Int { 16 }

  private var held: Held?
  var isEmpty: Bool { held == nil }
  /// The number of reads whose data it holds, for tests.
  var readCount: Int { held?.arrivals.count ?? 0 }
  /// Whether descriptors are held that no receive has returned.
  var holdsDescriptors: Bool { held?.arrivals.contains { $0.descriptors != nil } ?? false }

  /// Adds the ancillary data of a read, which brought the bytes at these positions of the stream.
  ///
  /// A read is made only while the message at the front is incomplete, so everything that the queue holds before belongs to that
  /// message, which may have at most `limit` descriptors. The queue holds at most twice as many, however often the peer passes some.
  /// For the same reason the latest writers are enough. A receiver of fewer bytes may come nevertheless. It gets no credentials
  /// for bytes whose writer was forgotten, because those of another writer would mislead it.
  mutating func add(_ found: Ancillary, beside bytes: ClosedRange<UInt64>, limit: Int) {
    let held = self.held ?? Held()
    self.held = held
    held.limit = limit
    if held.arrivals.count > limit
      || held.arrivals.reduce(0, { $0 + ($1.descriptors?.count ?? 0) }) > limit
    {
      let merged = merge(held.arrivals, limit)
      held.arrivals = [
        Arrival(
          position: held.arrivals[0].position, descriptors: merged.descriptors, isLost: merged.lostDescriptors
        )
      ]
    }
    if found.descriptors != nil || found.lostDescriptors {
      held.arrivals.append(
        Arrival(
          position: bytes.upperBound, descriptors: found.descriptors, isLost: found.lostDescriptors))
    }
    if let credentials = found.credentials, held.writers.last?.credentials != credentials {
      held.writers.append(Writer(start: bytes.lowerBound, credentials: credentials))
      if held.writers.count > mostWriters {
        held.writers.remove(at: 1)
        held.writers[0].credentials = nil
      }
    }
  }

  /// Removes and returns the data of the bytes in front of a position. Returns nil if there is none. Credentials stay,
  /// because they also apply to the bytes behind.
  mutating func take(before end: UInt64) -> Ancillary? {
    guard let held else { return nil }
    let count = held.arrivals.prefix { $0.position < end }.count
    var found = merge(held.arrivals.prefix(count), held.limit)
    held.arrivals.removeFirst(count)
    if let last = held.writers.lastIndex(where: { $0.start < end }) {
      held.writers.removeFirst(last)
      found.credentials = held.writers[0].credentials
    }
    if held.arrivals.isEmpty, held.writers.isEmpty { self.held = nil }
    return found.isEmpty ? nil : found
  }

  /// Returns the descriptors of one message, in order. Surplus ones are lost. They stay in the arrivals, and are closed with those.
  private func merge(_ arrivals: some Collection<Arrival>, _ limit: Int) -> Ancillary {
    let passed = arrivals.compactMap(\.descriptors)
    var found = Ancillary(lostDescriptors: arrivals.contains { $0.isLost })
    if passed.reduce(0, { $0 + $1.count }) > limit { found.lostDescriptors = true }
    found.descriptors = ReceivedDescriptors.joined(passed, atMost: limit)
    return found
  }
}
