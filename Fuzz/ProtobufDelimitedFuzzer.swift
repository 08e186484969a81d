/// The invariant: however bytes are cut, ``ProtobufDelimitedFraming`` finds the frames that one plain reading
/// finds in them, or refuses at the same place; and what it sends reads back.
///
/// Built together with the sources of SWFraming into one module (`Fuzz/run`). A broken invariant traps,
/// and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzProtobufDelimited(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  let framing = ProtobufDelimitedFraming()
  checkScanning(framing, bytes, readFrame)
  checkSending(framing, bytes) { payload in
    var (digits, rest) = ([UInt8](), payload.count)
    repeat {
      digits.append(UInt8(rest % 128) + (rest >= 128 ? 128 : 0))
      rest /= 128
    } while rest > 0
    return digits + payload
  }
  return 0
}

/// The oracle: digits to the base of 128, the lowest first, in wide integers.
private func readFrame(_ bytes: ArraySlice<UInt8>) -> PlainFrame {
  var length: UInt128 = 0
  for (index, byte) in bytes.prefix(10).enumerated() {
    length += UInt128(byte % 128) << UInt128(7 * index)
    if index == 9, byte >= 128 || length > UInt128(UInt64.max) { return .refused(.malformedHeader) }
    if byte < 128 { return plainFrame(at: bytes.startIndex, header: index + 1, length: length) }
  }
  return .open
}
