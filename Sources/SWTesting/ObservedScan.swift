internal import SWFraming

/// A scanner under observation, with its previous answers and the laws that each answer must obey whatever the bytes are.
struct ObservedScan<Scanner: FrameScanner> {
  enum Outcome: Equatable {
    case wantsMore(Int)
    case frame(FrameDemand)
    case refused(FramingError)
  }

  private(set) var scanner: Scanner
  private(set) var outcome = Outcome.wantsMore(1)

  /// The length of the frame, if an encoder wrote it. Nil for arbitrary bytes.
  var frameByteCount: Int?

  init(_ scanner: Scanner, frameByteCount: Int? = nil) {
    self.scanner = scanner
    self.frameByteCount = frameByteCount
  }

  /// Calls the scanner, unless it has returned the frame's length or refused the bytes. An endpoint would not call it again
  /// then.
  mutating func feed(_ received: Span<UInt8>) throws(FramingViolation) {
    guard case .wantsMore(let before) = outcome else { return }
    let demand: FrameDemand
    do {
      demand = try scanner.demand(in: received)
    } catch {
      outcome = .refused(error)
      return
    }

    if demand.byteCount < 1 {
      throw FramingViolation(
        law: .demandGetsOn, offset: received.count,
        explanation: "demands \(demand.byteCount) bytes; a demand is at least 1")
    }
    if demand.byteCount < before {
      throw FramingViolation(
        law: .demandNeverShrinks, offset: received.count,
        explanation: "\(before) bytes were demanded, then \(demand.byteCount)")
    }
    if demand.isFinal {
      if let frameByteCount, demand.byteCount <= received.count, received.count < frameByteCount {
        throw FramingViolation(
          law: .truncatedStaysOpen, offset: received.count,
          explanation: "takes \(demand.byteCount) bytes for a whole frame, which has \(frameByteCount)")
      }
      outcome = .frame(demand)
      return
    }
    if demand.byteCount <= received.count {
      throw FramingViolation(
        law: .demandGetsOn, offset: received.count,
        explanation: "asks for \(demand.byteCount) bytes and has \(received.count)")
    }
    if let frameByteCount, demand.byteCount > frameByteCount {
      throw FramingViolation(
        law: .demandStaysInFrame, offset: received.count,
        explanation: "asks for \(demand.byteCount) bytes of a frame of \(frameByteCount)")
    }
    outcome = .wantsMore(demand.byteCount)
  }

  /// Feeds growing numbers of bytes, until the scanner has returned a length or refused the bytes.
  mutating func feed(_ bytes: Span<UInt8>, cuts: some Sequence<Int>) throws(FramingViolation) {
    for cut in cuts {
      try feed(bytes.extracting(first: cut))
      guard case .wantsMore = outcome else { return }
    }
  }

  /// Tells the scanner that the stream ends behind the bytes, unless it has returned a length or refused them.
  mutating func end(_ received: Span<UInt8>) throws(FramingViolation) -> FrameEnd? {
    guard case .wantsMore = outcome else { return nil }
    let end: FrameEnd
    do {
      end = try scanner.atEnd(of: received)
    } catch {
      outcome = .refused(error)
      return nil
    }
    if case .frame(let demand) = end {
      guard demand.isFinal, demand.byteCount >= 1, demand.byteCount <= received.count else {
        throw FramingViolation(
          law: .endFitsBytes, offset: received.count,
          explanation: "at the end of \(received.count) bytes the last frame is \(demand)")
      }
    }
    return end
  }

  /// Feeds exactly as many bytes as demanded, like an endpoint that never reads ahead, until the scanner has returned a
  /// length or refused the bytes, or demands more than there are.
  mutating func feedExactly(_ bytes: Span<UInt8>) throws(FramingViolation) {
    try feed(bytes.extracting(first: 0))
    while case .wantsMore(let byteCount) = outcome, byteCount <= bytes.count {
      try feed(bytes.extracting(first: byteCount))
    }
  }
}

extension FramingViolation {
  init(law: Law, offset: Int, explanation: String) {
    self.init(law: law, messageIndex: nil, offset: offset, explanation: explanation)
  }
}

/// Bytes in readable form. Only the first ones if there are many.
func hex(_ bytes: [UInt8]) -> String {
  let shown = bytes.prefix(128).map { byte in
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
  }
  return shown.joined() + (bytes.count > 128 ? "… (\(bytes.count) bytes)" : "")
}
