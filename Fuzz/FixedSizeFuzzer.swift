/// The invariant: however bytes are cut, ``FixedSizeFraming`` finds records of its size and nothing else, and
/// it sends just the payloads of that size.
///
/// Built together with the sources of SWFraming into one module (`Fuzz/run`). A broken invariant traps,
/// and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzFixedSize(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  guard let choice = bytes.first else { return 0 }
  let size = 1 + Int(choice)
  let framing = FixedSizeFraming(size)
  let rest = Array(bytes.dropFirst())
  checkScanning(framing, rest) { bytes in
    let end = UInt128(bytes.startIndex + size)
    return .frame(payload: UInt128(bytes.startIndex)..<end, end: end)
  }
  checkSending(framing, rest) { $0 }
  checkSending(framing, Array(rest.prefix(size))) { $0 }
  return 0
}
