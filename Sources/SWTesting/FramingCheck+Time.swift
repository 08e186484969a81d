internal import SWFraming

/// Compares the times of two frames of very different length, each fed in small pieces.
///
/// For 16 times the bytes, linear work takes 16 times as long and quadratic work 256 times. The limit is 80. The best of
/// several runs counts, so a page fault or a cold cache does harm only if it occurs in every run. Times below twenty
/// milliseconds are not compared: if the first bytes state the length of a frame, it takes almost no time, and a ratio has
/// no meaning. Quadratic work would examine 134 million bytes.
extension FramingCheck {
  /// The two lengths to compare, and the size of the pieces.
  static var smallByteCount: Int { 4 << 10 }
  static var largeByteCount: Int { 16 * smallByteCount }
  static var pieceByteCount: Int { 16 }

  func checkTime(small: [UInt8], large: [UInt8]) throws(FramingViolation) {
    let factor = UInt64(max(1, large.count / small.count))
    var fastestSmall = UInt64.max
    for _ in 0..<3 {
      fastestSmall = min(fastestSmall, try time(small, limit: .max) ?? fastestSmall)
      let limit = max(20_000_000, 5 * factor * fastestSmall)
      if try time(large, limit: limit) != nil { return }
    }
    throw FramingViolation(
      law: .workIsLinear, offset: 0,
      explanation:
        "in pieces of \(Self.pieceByteCount), \(small.count) bytes took \(fastestSmall / 1000) µs of CPU time "
        + "and \(large.count) bytes more than \(5 * factor) times that")
  }

  /// Returns the CPU time for scanning a frame in small pieces and decoding it. Returns nil beyond the limit.
  private func time(_ frame: [UInt8], limit: UInt64) throws(FramingViolation) -> UInt64? {
    let start = threadCPUTime()
    var scan = observe(frame)
    var received = 0
    var pieces = 0
    while case .wantsMore = scan.outcome, received < frame.count {
      received = min(frame.count, received + Self.pieceByteCount)
      try scan.feed(frame.span.extracting(first: received))
      pieces += 1
      if pieces.isMultiple(of: 16), threadCPUTime() - start > limit { return nil }
    }
    guard case .frame(let demand) = scan.outcome, demand.byteCount == frame.count,
      (try? decode(frame, scan.scanner, demand)) != nil
    else {
      throw FramingViolation(
        law: .roundTrips, offset: 0, explanation: "the large message: \(scan.outcome)")
    }
    let elapsed = threadCPUTime() - start
    return elapsed > limit ? nil : elapsed
  }
}
