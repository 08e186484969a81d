/// The invariant: however bytes are cut, ``LengthPrefixedFraming`` of any width and byte order finds the
/// frames that one plain reading finds in them, or refuses at the same place; and what it sends reads back.
///
/// Built together with the sources of SWFraming into one module (`Fuzz/run`). A broken invariant traps,
/// and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzLengthPrefixed(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  guard let choice = bytes.first else { return 0 }
  let width = LengthPrefixedFraming.Width.allCases[Int(choice) % 4]
  let isLittle = choice & 0x10 != 0
  let countsHeader = choice & 0x20 != 0
  let framing = LengthPrefixedFraming(
    width, byteOrder: isLittle ? .littleEndian : .bigEndian, countsHeader: countsHeader)
  let rest = Array(bytes.dropFirst())
  let header = width.rawValue

  // The oracle.
  checkScanning(framing, rest) { bytes in
    if bytes.count < header { return .open }
    let digits = Array(bytes.prefix(header))
    let length = (isLittle ? digits.reversed() : digits).reduce(UInt128(0)) { $0 * 256 + UInt128($1) }
    if countsHeader, length < UInt128(header) { return .refused(.malformedHeader) }
    let payload = countsHeader ? length - UInt128(header) : length
    return plainFrame(at: bytes.startIndex, header: header, length: payload)
  }
  // Cut to the field's size where it is too small: what then is written does not read back.
  checkSending(framing, rest) { payload in
    let length = UInt128(payload.count + (countsHeader ? header : 0))
    let digits = (0..<header).map { index in UInt8(truncatingIfNeeded: length >> UInt128(8 * index)) }
    return (isLittle ? digits : digits.reversed()) + payload
  }
  return 0
}
