/// The invariant: however bytes are cut, ``MultiprocessingBytesFraming`` finds the frames that one plain
/// reading finds in them, in the same places, or refuses at the same place; and what it sends reads back.
///
/// Built together with the sources of SWFraming into one module (`Fuzz/run`). A broken invariant traps,
/// and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzMultiprocessingBytes(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  let framing = MultiprocessingBytesFraming()
  checkScanning(framing, bytes, readFrame)
  checkSending(framing, bytes) { payload in
    (0..<4).map { index in UInt8(truncatingIfNeeded: payload.count >> (24 - 8 * index)) } + payload
  }
  return 0
}

/// The oracle: a signed length, and behind -1 an unsigned one.
private func readFrame(_ bytes: ArraySlice<UInt8>) -> PlainFrame {
  func integer(_ range: Range<Int>) -> UInt128 {
    bytes.dropFirst(range.lowerBound).prefix(range.count).reduce(0) { value, byte in
      value * 256 + UInt128(byte)
    }
  }
  if bytes.count < 4 { return .open }
  let short = integer(0..<4)
  if short < 1 << 31 { return plainFrame(at: bytes.startIndex, header: 4, length: short) }
  if short < 1 << 32 - 1 { return .refused(.malformedHeader) }
  if bytes.count < 12 { return .open }
  return plainFrame(at: bytes.startIndex, header: 12, length: integer(4..<12))
}
