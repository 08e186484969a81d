import SWFraming

/// How a stream came to its end.
enum StreamEnd: Equatable {
  case betweenFrames
  case insideFrame([UInt8])
  case refused(FramingError)
}

/// Reads messages out of chunks by hand, as an endpoint that reads ahead, with no transport, thread or
/// clock: what came is scanned, and after the last chunk the stream is at its end.
func readByHand<F: Framing>(
  _ framing: F, chunks: [[UInt8]]
) throws -> (messages: [F.Incoming], end: StreamEnd) {
  var messages: [F.Incoming] = []
  var received: [UInt8] = []
  var scanner = framing.makeScanner()
  var demand = FrameDemand.atLeast(1)
  for chunk in chunks {
    received += chunk
    while demand.byteCount <= received.count {
      if let payload = demand.payload {
        let frame = Array(received.prefix(demand.byteCount))
        messages.append(try framing.decode(frame.span, payload: payload, scanned: scanner))
        received.removeFirst(demand.byteCount)
        scanner = framing.makeScanner()
        demand = .atLeast(1)
      } else {
        do throws(FramingError) {
          demand = try scanner.demand(in: received.span)
        } catch {
          return (messages, .refused(error))
        }
      }
    }
  }
  return (messages, received.isEmpty ? .betweenFrames : .insideFrame(received))
}

extension Array {
  /// The array in pieces of the given lengths; the rest, if there is one, as the last.
  func cut(into lengths: [Int]) -> [[Element]] {
    var rest = self[...]
    var pieces: [[Element]] = []
    for length in lengths {
      pieces.append(Array(rest.prefix(length)))
      rest = rest.dropFirst(length)
    }
    return rest.isEmpty ? pieces : pieces + [Array(rest)]
  }
}

extension Framing {
  /// The whole frame of a message.
  func frame(of message: Outgoing) throws -> [UInt8] {
    var parts = FrameParts()
    try encode(message, into: &parts)
    return parts.bytes
  }
}

extension Framing {
  /// The demand of a new scanner for these bytes.
  ///
  /// The thread sanitizer looks at the address of a scanner that is changed, and one without state has none,
  /// unless its type is not known, as here.
  func demand(in received: [UInt8]) throws(FramingError) -> FrameDemand {
    var scanner = makeScanner()
    return try scanner.demand(in: received.span)
  }
}

extension ShortBytes {
  var array: [UInt8] {
    withBytes { span in span.indices.map { index in span[index] } }
  }
}

// A span cannot pass through `#expect` and `#require`, an array can.

extension VarInt {
  static func decode(_ bytes: [UInt8]) -> (value: UInt64, byteCount: Int)? { decode(bytes.span) }
}

extension FrameScanner {
  mutating func demand(in received: [UInt8]) throws(FramingError) -> FrameDemand {
    try demand(in: received.span)
  }
}
