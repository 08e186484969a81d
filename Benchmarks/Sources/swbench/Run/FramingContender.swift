internal import CFloor
internal import SWMessaging

/// A message that is only read.
// Invariant: shared values are never changed. Outgoing need not be Sendable in general, but bytes and values are.
struct Sent<Value>: @unchecked Sendable {
  let value: Value
}

/// Repeats one part of a framing's work on one frame.
struct FramingContender<F: Framing>: Contender {
  enum Part: String, CaseIterable, Sendable { case scan, decode, encode }

  let framing: F
  let message: Sent<F.Outgoing>
  let part: Part
  let size: Int
  var title: String { "\(part.rawValue) \(size.bytes)" }

  func prepare() async throws {}
  func finish() async {}

  func round(_ operations: Int) async throws -> Round {
    try await onThread {
      var parts = FrameParts()
      try framing.encode(message.value, into: &parts)
      let frame = parts.bytes
      var scanner = framing.makeScanner()
      guard let payload = try scanner.demand(in: frame.span).payload else { throw UnexpectedEnd() }
      var total = 0
      let before = floor_now()
      switch part {
      case .scan:
        for _ in 0..<operations {
          var scanner = framing.makeScanner()
          total &+= try scanner.demand(in: frame.span).byteCount
        }
      case .decode:
        for _ in 0..<operations {
          let message = try framing.decode(frame.span, payload: payload, scanned: scanner)
          withExtendedLifetime(message) { total &+= 1 }
        }
      case .encode:
        for _ in 0..<operations {
          var parts = FrameParts()
          try framing.encode(message.value, into: &parts)
          total &+= parts.byteCount
        }
      }
      let elapsed = floor_now() - before
      if total == 0 { throw UnexpectedEnd() }  // used, so that nothing is left out
      return Round(operations: operations, amount: Double(elapsed))
    }
  }
}
