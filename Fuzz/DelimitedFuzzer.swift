/// The invariant: however bytes are cut, and whatever the delimiter, ``DelimitedFraming`` finds the frames
/// that a plain search finds in them; it sends just the payloads that read back.
///
/// Built together with the sources of SWFraming into one module (`Fuzz/run`). A broken invariant traps,
/// and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzDelimited(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  // The first byte says how long the delimiter is that follows.
  guard let choice = bytes.first, bytes.count > 1 else { return 0 }
  let delimiter = Array(bytes.dropFirst().prefix(1 + Int(choice) % 12))
  let rest = Array(bytes.dropFirst(1 + delimiter.count))
  let framing = DelimitedFraming(by: delimiter)

  // The oracle: compares at every place.
  checkScanning(framing, rest) { bytes in
    var start = bytes.startIndex
    while start + delimiter.count <= bytes.endIndex {
      if bytes[start..<(start + delimiter.count)].elementsEqual(delimiter) {
        let payload = UInt128(bytes.startIndex)..<UInt128(start)
        return .frame(payload: payload, end: payload.upperBound + UInt128(delimiter.count))
      }
      start += 1
    }
    return .open
  }
  checkSending(framing, rest) { $0 + delimiter }
  return 0
}
