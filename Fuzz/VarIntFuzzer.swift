/// The invariant: however bytes are cut, ``VarIntFraming`` finds the frames that one plain reading of the
/// format finds in them, in the same places, or refuses at the same place.
///
/// Built together with the sources of SWFraming into one module (`Fuzz/run`). A broken invariant traps,
/// and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzVarInt(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  checkScanning(VarIntFraming(), bytes, readFrame)
  checkCodec(bytes)
  return 0
}

/// The oracle: straight from the format's table, in wide integers.
private func readFrame(_ bytes: ArraySlice<UInt8>) -> PlainFrame {
  let first = Int(bytes[bytes.startIndex])
  let header = first < 241 ? 1 : first < 249 ? 2 : first - 246
  guard header <= bytes.count else { return .open }
  let rest = bytes.prefix(header).dropFirst().reduce(UInt128(0)) { value, byte in value * 256 + UInt128(byte)
  }
  let length: UInt128 =
    switch first {
    case 0...240: UInt128(first)
    case 241...248: 240 + 256 * UInt128(first - 241) + rest
    case 249: 2288 + rest
    default: rest
    }
  return plainFrame(at: bytes.startIndex, header: header, length: length)
}

/// Every input that decodes is encoded in no more bytes, and decodes to itself again.
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
