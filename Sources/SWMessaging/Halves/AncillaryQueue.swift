internal import SWIO
internal import SystemPackage

/// What came beside the bytes of a stream, by where it came: it belongs to the message that holds that byte.
///
/// The kernel puts bytes that were sent before in front of those that have descriptors, and stops behind them: the
/// descriptors belong to the last byte of a read. The credentials of a writer hold from the first byte of a read on.
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

  /// Whether there is nothing.
  var isEmpty: Bool { arrivals.isEmpty && writers.isEmpty }

  /// Takes in what came with a read, which brought the bytes at these positions of the stream.
  mutating func add(_ found: Ancillary, beside bytes: ClosedRange<UInt64>) {
    if found.descriptors != nil || found.lostDescriptors {
      arrivals.append(
        Arrival(
          position: bytes.upperBound, descriptors: found.descriptors, isLost: found.lostDescriptors))
    }
    if let credentials = found.credentials, writers.last?.credentials != credentials {
      writers.append(Writer(start: bytes.lowerBound, credentials: credentials))
    }
  }

  /// Takes out what belongs to the bytes in front of a position; nil if nothing does. Credentials go on to hold.
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
    return found.isEmpty ? nil : found
  }
}
