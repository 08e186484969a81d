// The part that the fuzzers of byte framings share. Each brings an oracle, one plain reading of its format, and says
// its own invariant.

/// The result of a stream: the payloads' places in it, and how it ends.
struct StreamReading: Equatable {
  enum End: Equatable {
    case clean
    case truncated
    case refused(FramingError.Kind)
  }
  var payloads: [Range<Int>] = []
  var end = End.clean
}

/// An oracle's answer for the frame at a place in the stream.
enum PlainFrame {
  /// The payload's place and the frame's end; they may lie behind the stream's.
  case frame(payload: Range<UInt128>, end: UInt128)
  /// The stream ends before the frame's length is known.
  case open
  case refused(FramingError.Kind)
}

/// Reads a whole stream with an oracle.
func readPlainly(_ bytes: [UInt8], _ oracle: (ArraySlice<UInt8>) -> PlainFrame) -> StreamReading {
  var reading = StreamReading()
  var start = 0
  while start < bytes.count {
    switch oracle(bytes[start...]) {
    case .open:
      reading.end = .truncated
      return reading
    case .refused(let kind):
      reading.end = .refused(kind)
      return reading
    case .frame(let payload, let end):
      guard end <= UInt128(bytes.count) else {
        reading.end = .truncated
        return reading
      }
      reading.payloads.append(Int(payload.lowerBound)..<Int(payload.upperBound))
      start = Int(end)
    }
  }
  return reading
}

/// A frame of a header and a payload whose length the header declares.
func plainFrame(at start: Int, header: Int, length: UInt128) -> PlainFrame {
  let limit = UInt128(Int.max - header)
  if length > limit { return .refused(.tooLarge(declared: UInt64(length), limit: UInt64(limit))) }
  let payload = UInt128(start + header)..<(UInt128(start + header) + length)
  return .frame(payload: payload, end: payload.upperBound)
}

/// The same with scanners, as an endpoint to which the bytes come in chunks; 0: in just the bytes that are
/// asked for. Holds every demand to the laws.
func scan(_ framing: some Framing, _ bytes: [UInt8], chunk: Int) -> StreamReading {
  var reading = StreamReading()
  var start = 0
  var arrived = 0
  while start < bytes.count {
    var scanner = framing.makeScanner()
    var demand = FrameDemand.atLeast(1)
    while !demand.isFinal || demand.byteCount > arrived - start {
      if !demand.isFinal, demand.byteCount <= arrived - start {
        let before = demand
        do throws(FramingError) {
          demand = try scanner.demand(in: bytes.span.extracting(start..<arrived))
        } catch {
          precondition(error.offset >= 0 && error.offset <= arrived - start, "an error lies in what was seen")
          reading.end = .refused(error.kind)
          return reading
        }
        precondition(demand.byteCount >= before.byteCount, "a demand shrank")
        precondition(demand.isFinal || demand.byteCount > arrived - start, "a demand does not get on")
      } else if arrived < bytes.count {
        let wanted = demand.byteCount.addingReportingOverflow(start)
        let end = wanted.overflow ? Int.max : wanted.partialValue
        arrived = min(bytes.count, chunk == 0 ? end : arrived + chunk)
      } else {
        reading.end = .truncated
        return reading
      }
    }
    guard let payload = demand.payload else { preconditionFailure("a final demand has a payload") }
    precondition(chunk != 0 || arrived == start + demand.byteCount, "a demand passed the frame's end")
    reading.payloads.append((start + payload.lowerBound)..<(start + payload.upperBound))
    start += demand.byteCount
  }
  return reading
}

/// However the bytes are cut, the scanner finds what the oracle finds. The first byte also says how to cut, so that
/// the fuzzer can look for bad cuts.
func checkScanning(_ framing: some Framing, _ bytes: [UInt8], _ oracle: (ArraySlice<UInt8>) -> PlainFrame) {
  let expected = readPlainly(bytes, oracle)
  precondition(scan(framing, bytes, chunk: max(1, bytes.count)) == expected, "at once")
  precondition(scan(framing, bytes, chunk: 1) == expected, "byte by byte")
  precondition(scan(framing, bytes, chunk: 1 + Int(bytes.first ?? 0) % 13) == expected, "in chunks")
  precondition(scan(framing, bytes, chunk: 0) == expected, "in what is asked for")
}

/// A payload that can be encoded reads back as itself, with a follower behind it; a refused one would not.
///
/// - Parameter naive: the frame as an encoder without a check would write it.
func checkSending(_ framing: some ByteFraming, _ payload: [UInt8], naive: ([UInt8]) -> [UInt8]) {
  let frame = naive(payload)
  let whole = scan(framing, frame + frame, chunk: frame.count * 2)
  let readsBack =
    whole.end == .clean && whole.payloads.count == 2
    && whole.payloads.allSatisfy { Array((frame + frame)[$0]) == payload }
  do throws(FramingError) {
    let envelope = try framing.envelope(for: payload.span)
    var parts = FrameParts()
    parts.append(envelope.header)
    parts.append(payload)
    parts.append(envelope.trailer)
    precondition(parts.bytes == frame, "the envelope is not what the format calls for")
    precondition(readsBack, "it was sent, and does not read back")
  } catch {
    precondition(error.kind == .unrepresentable, "refused, and not as a payload that cannot be sent")
    precondition(error.offset >= 0 && error.offset <= payload.count, "an error lies in the payload")
    precondition(!readsBack, "it was refused, and would read back")
  }
}
