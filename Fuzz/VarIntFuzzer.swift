/// The invariant: however bytes are cut, ``VarIntFraming`` finds the frames that one plain reading of the
/// format finds in them, in the same places, or refuses at the same place.
///
/// Built together with the sources of SWFraming into one module (`Fuzz/run`). A broken invariant traps,
/// and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzVarInt(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  let expected = readPlainly(bytes)
  precondition(scan(bytes, chunk: max(1, bytes.count)) == expected, "at once")
  precondition(scan(bytes, chunk: 1) == expected, "byte by byte")
  // The first byte also says how to cut, so that the fuzzer can look for bad cuts.
  precondition(scan(bytes, chunk: 1 + Int(bytes.first ?? 0) % 13) == expected, "in chunks")
  checkCodec(bytes)
  return 0
}

/// What a stream comes to: the payloads' places in it, and how it ends.
private struct Reading: Equatable {
  enum End: Equatable {
    case clean
    case truncated
    case refused(UInt64)
  }
  var payloads: [Range<Int>] = []
  var end = End.clean
}

/// The oracle: reads the whole stream at once, straight from the format's table, in wide integers.
private func readPlainly(_ bytes: [UInt8]) -> Reading {
  var reading = Reading()
  var start = 0
  while start < bytes.count {
    let first = Int(bytes[start])
    let header = first < 241 ? 1 : first < 249 ? 2 : first - 246
    guard start + header <= bytes.count else {
      reading.end = .truncated
      return reading
    }
    let rest = bytes[(start + 1)..<(start + header)].reduce(UInt128(0)) { value, byte in
      value * 256 + UInt128(byte)
    }
    let length: UInt128 =
      switch first {
      case 0...240: UInt128(first)
      case 241...248: 240 + 256 * UInt128(first - 241) + rest
      case 249: 2288 + rest
      default: rest
      }
    if UInt128(header) + length > UInt128(Int.max) {
      reading.end = .refused(UInt64(length))
      return reading
    }
    guard UInt128(start + header) + length <= UInt128(bytes.count) else {
      reading.end = .truncated
      return reading
    }
    let payload = (start + header)..<(start + header + Int(length))
    reading.payloads.append(payload)
    start = payload.upperBound
  }
  return reading
}

/// The same with scanners, as an endpoint to which the bytes come in chunks; holds every demand to the laws.
private func scan(_ bytes: [UInt8], chunk: Int) -> Reading {
  var reading = Reading()
  var start = 0
  var arrived = 0
  while start < bytes.count {
    var scanner = VarIntFraming.varInt.makeScanner()
    var demand = FrameDemand.atLeast(1)
    while !demand.isFinal || start + min(demand.byteCount, bytes.count) > arrived {
      if !demand.isFinal, demand.byteCount <= arrived - start {
        let before = demand
        do throws(FramingError) {
          demand = try scanner.demand(in: bytes.span.extracting(start..<arrived))
        } catch {
          guard case .tooLarge(let declared, _) = error.kind else { preconditionFailure("\(error)") }
          reading.end = .refused(declared)
          return reading
        }
        precondition(demand.byteCount >= before.byteCount, "a demand shrank")
        precondition(demand.isFinal || demand.byteCount > arrived - start, "a demand does not get on")
      } else if arrived < bytes.count {
        arrived = min(bytes.count, arrived + chunk)
      } else {
        reading.end = .truncated
        return reading
      }
    }
    guard let payload = demand.payload, demand.byteCount <= bytes.count - start else {
      reading.end = .truncated
      return reading
    }
    reading.payloads.append((start + payload.lowerBound)..<(start + payload.upperBound))
    start += demand.byteCount
  }
  return reading
}

/// Whatever decodes is encoded in no more bytes, and decodes to itself again.
private func checkCodec(_ bytes: [UInt8]) {
  guard let (value, byteCount) = VarInt.decode(bytes.span) else {
    precondition(bytes.count < (bytes.first.map(VarInt.byteCount(startingWith:)) ?? 1), "not decoded")
    return
  }
  let shortest = VarInt.encode(value)
  precondition(shortest.count <= byteCount, "the encoding is longer than it was")
  shortest.withBytes { span in
    guard let again = VarInt.decode(span) else { preconditionFailure("its own encoding not decoded") }
    precondition(again == (value, span.count), "decodes to another value")
  }
}
