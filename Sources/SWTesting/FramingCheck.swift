internal import SWFraming

/// The checks of ``checkFraming(_:peer:messages:seed:hostileInputs:measuresTime:largeMessage:isEqual:)``, on frames that are
/// encoded already.
///
/// Each frame is first scanned whole. Every other way to cut the bytes must lead to the same length, payload and message.
/// Endpoints rely on that, because they get the bytes as the kernel delivers them.
struct FramingCheck<F: Framing> {
  /// A frame up to this length is cut at every point, and a longer one at many.
  static var longestCutEverywhere: Int { 512 }

  let framing: F
  let frames: [[UInt8]]
  let seed: UInt64
  var random: SeededGenerator

  init(_ framing: F, frames: [[UInt8]], seed: UInt64) {
    self.framing = framing
    self.frames = frames
    self.seed = seed
    random = SeededGenerator(seed: seed)
  }

  mutating func checkMessages(
    matches: (_ index: Int, _ received: F.Incoming) -> Bool
  ) throws(FramingViolation) {
    var demands: [FrameDemand] = []
    for index in frames.indices {
      do throws(FramingViolation) {
        let note =
          "checkFraming: trap with the frame of message \(index), \(hex(frames[index])), seed \(seed)"
        let demand = try noting(note) { () throws(FramingViolation) in
          try checkMessage(index) { received in matches(index, received) }
        }
        demands.append(demand)
      } catch {
        throw error.concerning(message: index)
      }
    }
    try checkBackToBack(demands, chunked: false, matches: matches)
    try checkBackToBack(demands, chunked: true, matches: matches)
    try checkEnds()
  }

  /// The end of a stream that ends between two frames, and of one that ends a byte too early.
  private func checkEnds() throws(FramingViolation) {
    let nothing: [UInt8] = []
    var empty = ObservedScan(framing.makeScanner())
    try empty.feed(nothing.span)
    // A scanner that knows the length without a byte is not asked.
    let end = try empty.end(nothing.span)
    var wrong: String?
    if let end, end != .nothing { wrong = "\(end)" }
    if case .refused(let error) = empty.outcome { wrong = "\(error)" }
    if let wrong {
      throw FramingViolation(
        law: .endFitsBytes, offset: 0,
        explanation: "a stream without bytes ends with \(wrong), and not with nothing")
    }
    for (index, frame) in frames.enumerated() {
      for length in cuts(of: frame) {
        let cut = Array(frame.prefix(length))
        var scan = ObservedScan(framing.makeScanner())
        try scan.feed(cut.span)
        if try scan.end(cut.span) == .nothing {
          throw FramingViolation(
            law: .endFitsBytes, messageIndex: index, offset: length,
            explanation:
              "a stream that ends after \(length) of the frame's \(frame.count) bytes ends with nothing: the "
              + "message is lost")
        }
      }
    }
  }

  /// The lengths at which a frame is cut: all, or those at both ends of a long one.
  func cuts(of frame: [UInt8]) -> [Int] {
    if frame.count <= Self.longestCutEverywhere { return Array(1..<max(1, frame.count)) }
    return Array(1..<32) + Array((frame.count - 32)..<frame.count)
  }

  private mutating func checkMessage(
    _ index: Int, matches: (F.Incoming) -> Bool
  ) throws(FramingViolation) -> FrameDemand {
    let frame = frames[index]
    let demand = try scanWhole(frame, matches: matches)

    for cuts in chunkings(of: frame.count) {
      var scan = observe(frame)
      try scan.feed(frame.span, cuts: cuts)
      try expect(demand, of: scan, frame: frame, "fed in \(brief(cuts)) bytes", matches: matches)
    }

    for followers in followers(of: index) {
      let stream = frame + followers
      for first in [stream.count, Int.random(in: 0...frame.count, using: &random)] {
        var scan = observe(frame)
        try scan.feed(stream.span, cuts: [first, stream.count])
        try expect(
          demand, of: scan, frame: frame, "with \(hex(followers)) behind it, first \(first) bytes",
          matches: matches)
      }
    }

    var scan = observe(frame)
    try scan.feedExactly(frame.span)
    try expect(demand, of: scan, frame: frame, "fed just what it asks for", matches: matches)

    try checkCopies(frame, demand: demand)
    try checkFilling(frame, matches: matches)
    return demand
  }

  func observe(_ frame: [UInt8]) -> ObservedScan<F.Scanner> {
    ObservedScan(framing.makeScanner(), frameByteCount: frame.count)
  }

  private func scanWhole(
    _ frame: [UInt8], matches: (F.Incoming) -> Bool
  ) throws(FramingViolation) -> FrameDemand {
    var scan = observe(frame)
    try scan.feed(frame.span)
    switch scan.outcome {
    case .wantsMore(let byteCount):
      // This is impossible, because a demand beyond the frame breaks one law and a demand within it another.
      throw FramingViolation(
        law: .demandStaysInFrame, offset: frame.count, explanation: "asks for \(byteCount) bytes")
    case .refused(let error):
      throw FramingViolation(
        law: .roundTrips, offset: error.offset,
        explanation: "the scanner refused what was encoded, \(hex(frame)): \(error)")
    case .frame(let demand):
      if demand.byteCount > frame.count {
        throw FramingViolation(
          law: .demandStaysInFrame, offset: frame.count,
          explanation: "takes \(demand.byteCount) bytes for a frame of \(frame.count)")
      }
      if demand.byteCount < frame.count {
        throw FramingViolation(
          law: .roundTrips, offset: demand.byteCount,
          explanation: "encoded to \(frame.count) bytes, of which the scanner takes \(demand.byteCount)")
      }
      do {
        let received = try decode(frame, scan.scanner, demand)
        if matches(received) { return demand }
        throw FramingViolation(
          law: .roundTrips, offset: 0, explanation: "decodes to another message: \(received)")
      } catch let violation as FramingViolation {
        throw violation
      } catch {
        throw FramingViolation(
          law: .roundTrips, offset: 0, explanation: "decode threw on \(hex(frame)): \(error)")
      }
    }
  }

  func decode(
    _ frame: [UInt8], _ scanner: F.Scanner, _ demand: FrameDemand
  ) throws -> F.Incoming {
    try framing.decode(
      frame.span.extracting(first: demand.byteCount), payload: demand.payload ?? 0..<0,
      scanned: scanner)
  }

  /// Compares the end of a scan with the scan of the whole frame.
  private func expect(
    _ demand: FrameDemand, of scan: ObservedScan<F.Scanner>, frame: [UInt8],
    _ how: @autoclosure () -> String, matches: (F.Incoming) -> Bool
  ) throws(FramingViolation) {
    guard scan.outcome == .frame(demand) else {
      throw FramingViolation(
        law: .ignoresChunking, offset: 0,
        explanation: "\(how()): \(scan.outcome); at once: \(demand)")
    }
    guard let received = try? decode(frame, scan.scanner, demand), matches(received) else {
      throw FramingViolation(
        law: .ignoresChunking, offset: 0, explanation: "\(how()): decodes to another message")
    }
  }

  /// Ways to cut a frame, as the numbers of received bytes at each call.
  private mutating func chunkings(of byteCount: Int) -> [[Int]] {
    var chunkings: [[Int]] = []
    if byteCount <= Self.longestCutEverywhere {
      chunkings.append(Array(0...byteCount))
      chunkings += (0..<byteCount).map { cut in [cut, byteCount] }
    } else {
      let ends = Array(0..<32) + Array((byteCount - 32)..<byteCount)
      chunkings.append(ends + [byteCount])
      chunkings += ends.map { cut in [cut, byteCount] }
    }
    for _ in 0..<16 { chunkings.append(randomCuts(in: 0..<byteCount) + [byteCount]) }
    return chunkings
  }

  mutating func randomCuts(in range: Range<Int>) -> [Int] {
    if range.isEmpty { return [] }
    let count = Int.random(in: 1...16, using: &random)
    return Set((0..<count).map { _ in Int.random(in: range, using: &random) }).sorted()
  }

  /// The bytes that may be behind a frame in the buffer: the next frames, the frame itself again, garbage.
  private mutating func followers(of index: Int) -> [[UInt8]] {
    let next = frames[index...].dropFirst() + frames[..<index]
    let garbage = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
    return [Array(next.prefix(3).joined().prefix(4096)), Array(frames[index].prefix(4096)), garbage]
      .filter { !$0.isEmpty }
  }

  /// Scans all frames from one stream, like an endpoint that reads ahead.
  private mutating func checkBackToBack(
    _ demands: [FrameDemand], chunked: Bool, matches: (Int, F.Incoming) -> Bool
  ) throws(FramingViolation) {
    let stream = Array(frames.joined())
    let largestChunk = max(16, stream.count / 64)
    var start = 0
    var arrived = chunked ? 0 : stream.count
    for (index, frame) in frames.enumerated() {
      let end = start + frame.count
      var scan = observe(frame)
      do throws(FramingViolation) {
        try scan.feed(stream.span.extracting(start..<arrived))
        while arrived < end {
          arrived = min(stream.count, arrived + Int.random(in: 1...largestChunk, using: &random))
          try scan.feed(stream.span.extracting(start..<arrived))
        }
        try expect(
          demands[index], of: scan, frame: frame, "among all frames, back to back",
          matches: { received in matches(index, received) })
      } catch {
        throw error.concerning(message: index)
      }
      start = end
    }
  }

  /// Copies a scanner midway and continues the copies with other bytes. The original must not be affected. This detects a
  /// scanner that shares state by reference.
  private mutating func checkCopies(
    _ frame: [UInt8], demand: FrameDemand
  ) throws(FramingViolation) {
    let points =
      frame.count <= 64
      ? Array(0..<frame.count)
      : (0..<16).map { _ in Int.random(in: 0..<frame.count, using: &random) }
    for point in points {
      let cuts = randomCuts(in: (point + 1)..<frame.count) + [frame.count]
      var lone = observe(frame)
      try lone.feed(frame.span.extracting(first: point))
      var original = observe(frame)
      try original.feed(frame.span.extracting(first: point))

      var copy = original
      try copy.feed(frame.span)
      var astray = original
      astray.frameByteCount = nil
      let garbage = (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) }
      // Hostile bytes are checked elsewhere.
      let other = frame.prefix(point) + garbage
      try? astray.feed(other.span)

      if copy.outcome != .frame(demand) {
        throw FramingViolation(
          law: .copiesAreAlone, offset: point,
          explanation: "a copy made after \(point) bytes: \(copy.outcome); expected \(demand)")
      }
      for cut in cuts {
        try lone.feed(frame.span.extracting(first: cut))
        try original.feed(frame.span.extracting(first: cut))
        if original.outcome != lone.outcome {
          throw FramingViolation(
            law: .copiesAreAlone, offset: cut,
            explanation: "copied after \(point) bytes: \(original.outcome); not copied: \(lone.outcome)")
        }
      }
    }
  }

  /// Cuts in readable form. Only the first ones if there are many.
  func brief(_ cuts: [Int]) -> String {
    cuts.count <= 16 ? "\(cuts)" : "\(cuts.prefix(16)) and \(cuts.count - 16) more"
  }
}

extension FramingViolation {
  fileprivate func concerning(message index: Int) -> FramingViolation {
    var violation = self
    violation.messageIndex = index
    return violation
  }
}
