internal import SWIO
internal import SystemPackage

/// Ancillary data of a stream, keyed by stream position. It belongs to the message that contains the byte at that position.
///
/// Reads stop behind bytes that carry descriptors, and the kernel prepends bytes that were sent earlier without any. So
/// descriptors belong to the last byte of a read. A writer's credentials apply from the first byte of a read on.
struct AncillaryQueue: Sendable {
  private struct Arrival: Sendable {
    var position: UInt64
    var descriptors: ReceivedDescriptors?
    var isLost: Bool
  }
  private struct Writer: Sendable {
    var start: UInt64
    var credentials: SenderCredentials
  }

  private var arrivals: [Arrival] = []
  private var writers: [Writer] = []

  /// Whether the queue is empty. It is a stored value because every message reads it.
  private(set) var isEmpty = true

  /// Adds the ancillary data of a read, which brought the bytes at these positions of the stream.
  mutating func add(_ found: Ancillary, beside bytes: ClosedRange<UInt64>) {
    isEmpty = false
    if found.descriptors != nil || found.lostDescriptors {
      arrivals.append(
        Arrival(
          position: bytes.upperBound, descriptors: found.descriptors, isLost: found.lostDescriptors))
    }
    if let credentials = found.credentials, writers.last?.credentials != credentials {
      writers.append(Writer(start: bytes.lowerBound, credentials: credentials))
    }
  }

  /// Removes and returns the data of the bytes in front of a position. Returns nil if there is none. Credentials stay,
  /// because they also apply to the bytes behind.
  mutating func take(before end: UInt64) -> Ancillary? {
    var found = Ancillary()
    var passed: [ReceivedDescriptors] = []
    let count = arrivals.prefix { $0.position < end }.count
    for arrival in arrivals.prefix(count) {
      if let descriptors = arrival.descriptors { passed.append(descriptors) }
      if arrival.isLost { found.lostDescriptors = true }
    }
    arrivals.removeFirst(count)
    found.descriptors =
      passed.count <= 1 ? passed.first : ReceivedDescriptors(passed.flatMap { $0.takeAll() })
    while writers.count > 1, writers[1].start < end { writers.removeFirst() }
    if let writer = writers.first, writer.start < end { found.credentials = writer.credentials }
    isEmpty = arrivals.isEmpty && writers.isEmpty
    return found.isEmpty ? nil : found
  }
}
