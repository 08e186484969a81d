/// The invariant: however bytes are cut, ``ContentLengthFraming`` finds the frames that splitting into lines
/// finds in them, or refuses at the same place; and what it sends reads back.
///
/// Built together with the sources of SWFraming into one module (`Fuzz/run`). A broken invariant traps,
/// and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzContentLength(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  // A limit that the fuzzer can reach, and the usual one.
  for limit in [64, ContentLengthFraming.defaultHeaderLimit] {
    checkScanning(ContentLengthFraming(headerLimit: limit), bytes) { bytes in readFrame(bytes, limit) }
  }
  checkSending(ContentLengthFraming(), bytes) { payload in
    Array("Content-Length: \(payload.count)\r\n\r\n".utf8) + payload
  }
  return 0
}

/// The oracle: cuts the header section into lines, and those into texts.
private func readFrame(_ bytes: ArraySlice<UInt8>, _ limit: Int) -> PlainFrame {
  var rest = bytes.prefix(limit)
  var length: UInt128?
  while let feed = rest.firstIndex(of: 10) {
    var line = rest[..<feed]
    rest = rest[(feed + 1)...]
    if line.last == 13 { line.removeLast() }
    if line.isEmpty {
      guard let length else { return .refused(.malformedHeader) }
      return plainFrame(at: bytes.startIndex, header: rest.startIndex - bytes.startIndex, length: length)
    }
    let halves = line.split(separator: 58, maxSplits: 1, omittingEmptySubsequences: false)
    let isBlank: (UInt8?) -> Bool = { $0 == 32 || $0 == 9 }
    guard halves.count == 2, let name = halves.first, !name.isEmpty, !isBlank(name.first),
      !isBlank(name.last),
      var value = halves.last
    else { return .refused(.malformedHeader) }
    guard String(decoding: name, as: UTF8.self).lowercased() == "content-length",
      name.allSatisfy({ $0 < 128 })
    else { continue }
    while isBlank(value.first) { value.removeFirst() }
    while isBlank(value.last) { value.removeLast() }
    // Digit by digit, as a number that is too long may have something behind it that is no digit.
    var found: UInt128 = 0
    for byte in value {
      guard 48...57 ~= byte else { return .refused(.malformedHeader) }
      found = found * 10 + UInt128(byte - 48)
      if found > UInt128(UInt64.max) {
        return .refused(.tooLarge(declared: .max, limit: UInt64(Int.max)))
      }
    }
    if value.isEmpty || (length ?? found) != found { return .refused(.malformedHeader) }
    length = found
  }
  return bytes.count >= limit ? .refused(.malformedHeader) : .open
}
