internal import SWFraming

/// Checks bytes that no encoder wrote. They may be refused, or be a frame or the beginning of one. Which of these they are
/// must not depend on how they are cut. A trap ends the process, which tells the bytes. Endless loops need no check.
extension FramingCheck {
  mutating func checkHostileBytes(inputs: Int) throws(FramingViolation) {
    for _ in 0..<inputs {
      let bytes = hostileBytes()
      let cuts = randomCuts(in: 0..<bytes.count) + [bytes.count]
      let input = "with hostile bytes \(hex(bytes)) cut at \(brief(cuts)), seed \(seed)"
      do throws(FramingViolation) {
        try noting("checkFraming: trap \(input)") { () throws(FramingViolation) in
          try checkHostile(bytes, cuts: cuts)
        }
      } catch {
        var violation = error
        violation.explanation += "; \(input)"
        throw violation
      }
    }
  }

  private func checkHostile(_ bytes: [UInt8], cuts: [Int]) throws(FramingViolation) {
    var whole = ObservedScan(framing.makeScanner())
    try whole.feed(bytes.span)
    var cut = ObservedScan(framing.makeScanner())
    try cut.feed(bytes.span, cuts: cuts)
    var exact = ObservedScan(framing.makeScanner())
    try exact.feedExactly(bytes.span)

    if case .frame(let demand) = whole.outcome, demand.byteCount < bytes.count {
      try checkFilling(hostile: Array(bytes.prefix(demand.byteCount)))
    }
    try checkFilling(hostile: bytes)

    let expected = end(of: whole, bytes)
    let scans = [(cut, "cut"), (exact, "fed just what it asks for")]
    let last = try whole.end(bytes.span)
    let lastCut = try cut.end(bytes.span)
    if last != lastCut {
      throw FramingViolation(
        law: .ignoresChunking, offset: bytes.count,
        explanation: "at the end of the stream, cut: \(describe(lastCut)); at once: \(describe(last))")
    }
    for (scan, how) in scans {
      let found = end(of: scan, bytes)
      if found != expected {
        throw FramingViolation(
          law: .ignoresChunking, offset: 0, explanation: "\(how): \(found); at once: \(expected)")
      }
    }
  }

  /// Checks that what is scanned as a frame is also decoded, to its payload. Endpoints take the payload of a byte framing
  /// without calling `decode`.
  mutating func checkPayloads(inputs: Int) throws(FramingViolation) where F: ByteFraming {
    for _ in 0..<inputs {
      let bytes = hostileBytes()
      var scan = ObservedScan(framing.makeScanner())
      try scan.feed(bytes.span)
      guard case .frame(let demand) = scan.outcome, demand.byteCount <= bytes.count,
        let payload = demand.payload
      else {
        continue
      }
      let what: String
      do {
        if try decode(bytes, scan.scanner, demand) == Array(bytes[payload]) { continue }
        what = "gives another message than the payload"
      } catch {
        what = "throws \(error)"
      }
      throw FramingViolation(
        law: .envelopeFits, offset: payload.lowerBound,
        explanation:
          "the scanner takes \(hex(bytes)) as a frame, and `decode` \(what), which endpoints do not call")
    }
  }

  private func describe(_ end: FrameEnd?) -> String { end.map { "\($0)" } ?? "none" }

  private enum HostileEnd: Equatable {
    case incomplete
    case refused
    /// `decodes` is nil if the bytes end before the frame does.
    case frame(FrameDemand, decodes: Bool?)
  }

  private func end(of scan: ObservedScan<F.Scanner>, _ bytes: [UInt8]) -> HostileEnd {
    switch scan.outcome {
    case .wantsMore: return .incomplete
    case .refused: return .refused
    case .frame(let demand):
      if demand.byteCount > bytes.count { return .frame(demand, decodes: nil) }
      return .frame(demand, decodes: (try? decode(bytes, scan.scanner, demand)) != nil)
    }
  }

  private mutating func hostileBytes() -> [UInt8] {
    switch Int.random(in: 0..<4, using: &random) {
    case 0: return (0..<Int.random(in: 0...64, using: &random)).map { _ in anyByte() }
    case 1: return (0..<Int.random(in: 0...64, using: &random)).map { _ in spitefulByte() }
    default:
      var bytes = frames.randomElement(using: &random).map { Array($0.prefix(4096)) } ?? []
      for _ in 0..<Int.random(in: 1...4, using: &random) { mutate(&bytes) }
      return bytes
    }
  }

  private mutating func mutate(_ bytes: inout [UInt8]) {
    // Headers are at the front and small frames are many, so half of all mutations change the first bytes.
    let reach = Bool.random(using: &random) ? min(bytes.count, 12) : bytes.count
    let place = Int.random(in: 0...reach, using: &random)
    switch Int.random(in: 0..<9, using: &random) {
    case 6: replaceNumber(in: &bytes)
    case 7: overwriteInteger(in: &bytes, at: place)
    case 8: bytes.insert(contentsOf: spitefulNumber().utf8, at: place)
    case 0: bytes.insert(spitefulByte(), at: place)
    case 1: bytes.insert(anyByte(), at: place)
    case 2 where place < bytes.count: bytes[place] = spitefulByte()
    case 3 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 4 where place < bytes.count: bytes.remove(at: place)
    case 5: bytes.removeSubrange(place...)
    default: bytes += frames.randomElement(using: &random)?.prefix(256) ?? []
    }
  }

  /// Replaces the first digits of the frame, which are the length if a length is text.
  private mutating func replaceNumber(in bytes: inout [UInt8]) {
    guard let start = bytes.firstIndex(where: { (0x30...0x39).contains($0) }) else { return }
    let end = bytes[start...].firstIndex { !(0x30...0x39).contains($0) } ?? bytes.count
    bytes.replaceSubrange(start..<end, with: spitefulNumber().utf8)
  }

  /// Overwrites 1 to 8 bytes with an extreme integer, in either byte order.
  private mutating func overwriteInteger(in bytes: inout [UInt8], at place: Int) {
    let size = [1, 2, 4, 8].randomElement(using: &random) ?? 8
    let start = min(place, max(0, bytes.count - size))
    let extremes: [UInt64] = [0, 1, .max, .max >> 1, .max >> 1 + 1, .max - 7, 1 << 31, 1 << 31 - 1, 1 << 15]
    let extreme = (extremes.randomElement(using: &random) ?? 0) >> UInt64.random(in: 0...1, using: &random)
    let isBig = Bool.random(using: &random)
    for index in 0..<size where start + index < bytes.count {
      let shift = 8 * (isBig ? size - 1 - index : index)
      bytes[start + index] = UInt8(truncatingIfNeeded: extreme >> UInt64(shift))
    }
  }

  /// Returns a number that a careless reader of lengths misreads or traps on: too large for 32, 63 or 64 bits, overflowing
  /// when a header's length is added, negative, with a sign, with leading zeros, with blanks.
  private mutating func spitefulNumber() -> String {
    let numbers = [
      "9223372036854775807", "9223372036854775808", "9223372036854775800", "18446744073709551615",
      "18446744073709551616", "99999999999999999999999999", "4294967295", "4294967296", "2147483648", "-1",
      "-100",
      "-0", "-9223372036854775808", "+5", "+", "-", "00", "007", "0000000000000000000000005", "0x10", "1e3",
      "1_000",
      "5.0", " 5", "5 ", "\u{0665}", "",
    ]
    return numbers.randomElement(using: &random) ?? "0"
  }

  private mutating func anyByte() -> UInt8 { UInt8.random(in: 0...255, using: &random) }

  /// Returns a byte that has a meaning in formats: a sign, an extreme, a bracket, a line end.
  private mutating func spitefulByte() -> UInt8 {
    let spiteful: [UInt8] =
      [0x00, 0x01, 0x7f, 0x80, 0xf0, 0xf1, 0xf8, 0xf9, 0xfa, 0xfe, 0xff] + Array("\r\n\t :-+09{[\"'".utf8)
    return spiteful.randomElement(using: &random) ?? 0
  }
}
