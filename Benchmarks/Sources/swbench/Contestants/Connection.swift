internal import CFloor

/// The form of a length on the wire.
enum FrameHeader: String, Sendable {
  /// Ours: a SQLite4 varint.
  case varInt
  /// The length field of the others: four bytes, big-endian.
  case uint32

  var native: floor_header { self == .varInt ? floor_varint : floor_uint32 }
}

/// One end of a connection with one library: the measured end, and, in a process of its own, the echoing end.
protocol Connection: Sendable {
  /// Sends a message and waits for its echo, again and again.
  func roundTrips(_ count: Int, recording latencies: Latencies) async throws
  /// Receives and forgets messages.
  func receive(_ count: Int) async throws
  /// Sends messages, a fixed number with each call.
  func send(_ count: Int) async throws
  /// Sends back received messages, until the end of the stream.
  func echo() async throws
  func close() async
}

/// The properties of all messages of a connection.
struct Shape: Sendable {
  var byteCount: Int
  /// The number of messages that a sender hands over at a time.
  var perWrite = 1

  var message: [UInt8] { [UInt8](repeating: UInt8(ascii: "x"), count: byteCount) }

  /// The sizes of the batches for `count` messages: multiples of `perWrite`, and a rest.
  func batches(of count: Int) -> [Int] {
    let rest = count % perWrite
    return [Int](repeating: perWrite, count: count / perWrite) + (rest > 0 ? [rest] : [])
  }
}

/// The stream ended while messages were awaited.
struct UnexpectedEnd: Error, CustomStringConvertible {
  var description: String { "the stream ended: the peer is gone" }
}

/// A message had the wrong size.
struct UnexpectedSize: Error, CustomStringConvertible {
  var expected: Int
  var found: Int
  var description: String { "a message of \(found) bytes came, \(expected) were expected" }

  static func check(_ found: Int, _ shape: Shape) throws {
    if found != shape.byteCount { throw UnexpectedSize(expected: shape.byteCount, found: found) }
  }
}
