internal import SWFraming

/// Bytes that no encoder wrote. They may be refused, be a frame or the beginning of one, but which of
/// these must not depend on how they are cut. Traps and endless loops show by themselves.
extension FramingCheck {
  mutating func checkHostileBytes(inputs: Int) throws(FramingViolation) {
    for _ in 0..<inputs {
      let bytes = hostileBytes()
      let cuts = randomCuts(in: 0..<bytes.count) + [bytes.count]
      do throws(FramingViolation) {
        try checkHostile(bytes, cuts: cuts)
      } catch {
        var violation = error
        violation.explanation += "; with hostile bytes \(hex(bytes)) cut at \(brief(cuts)), seed \(seed)"
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

    let expected = end(of: whole, bytes)
    for (scan, how) in [(cut, "cut"), (exact, "fed just what it asks for")] {
      let found = end(of: scan, bytes)
      if found != expected {
        throw FramingViolation(
          law: .ignoresChunking, offset: 0, explanation: "\(how): \(found); at once: \(expected)")
      }
    }
  }

  private enum HostileEnd: Equatable {
    case incomplete
    case refused
    /// `decodes` is `nil` when the bytes end before the frame.
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
    // Headers stand at the front and small frames are many: half of all mutations hit the first bytes.
    let reach = Bool.random(using: &random) ? min(bytes.count, 12) : bytes.count
    let place = Int.random(in: 0...reach, using: &random)
    switch Int.random(in: 0..<6, using: &random) {
    case 0: bytes.insert(spitefulByte(), at: place)
    case 1: bytes.insert(anyByte(), at: place)
    case 2 where place < bytes.count: bytes[place] = spitefulByte()
    case 3 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 4 where place < bytes.count: bytes.remove(at: place)
    case 5: bytes.removeSubrange(place...)
    default: bytes += frames.randomElement(using: &random)?.prefix(256) ?? []
    }
  }

  private mutating func anyByte() -> UInt8 { UInt8.random(in: 0...255, using: &random) }

  /// Signs, extremes, brackets and line ends: the bytes that formats give a meaning to.
  private mutating func spitefulByte() -> UInt8 {
    let spiteful: [UInt8] =
      [0x00, 0x01, 0x7f, 0x80, 0xf0, 0xf1, 0xf8, 0xf9, 0xfa, 0xfe, 0xff] + Array("\r\n\t :-+09{[\"'".utf8)
    return spiteful.randomElement(using: &random) ?? 0
  }
}
