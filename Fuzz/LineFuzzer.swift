/// The invariant: however bytes are cut, ``LineFraming`` finds the lines that splitting finds in them, and it
/// sends just the payloads that read back.
///
/// Built together with the sources of SWFraming into one module (`Fuzz/run`). A broken invariant traps,
/// and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzLine(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  guard let choice = bytes.first else { return 0 }
  let ending = LineFraming.Ending.allCases[Int(choice) % LineFraming.Ending.allCases.count]
  let framing = LineFraming(ending: ending)
  let rest = Array(bytes.dropFirst())

  // The oracle.
  checkScanning(framing, rest) { bytes in
    guard let feed = bytes.firstIndex(of: 10) else { return .open }
    let line = bytes[..<feed]
    let end = ending != .lineFeed && line.last == 13 ? feed - 1 : feed
    return .frame(payload: UInt128(bytes.startIndex)..<UInt128(end), end: UInt128(feed + 1))
  }
  checkSending(framing, rest) { $0 + (ending == .carriageReturnLineFeed ? [13, 10] : [10]) }
  return 0
}
