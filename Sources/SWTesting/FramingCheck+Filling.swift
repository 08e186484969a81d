internal import SWFraming

/// Checks `decode(filling:)`, which a framing may implement itself, against its default.
extension FramingCheck {
  /// The outcome of bytes that should fill a frame.
  private enum Filled {
    case message(F.Incoming)
    case refused(any Error)

    init(_ decode: () throws -> F.Incoming) {
      do { self = .message(try decode()) } catch { self = .refused(error) }
    }
  }

  private func filled(_ bytes: [UInt8]) -> (own: Filled, standard: Filled) {
    (
      Filled { try framing.decode(filling: bytes.span) },
      Filled { try StandardFilling(base: framing).decode(filling: bytes.span) }
    )
  }

  /// Checks a frame, the frame with another byte, and parts of it.
  func checkFilling(_ frame: [UInt8], matches: (F.Incoming) -> Bool) throws(FramingViolation) {
    switch filled(frame).own {
    case .message(let message) where matches(message): break
    case .message(let message):
      throw FramingViolation(
        law: .fillingFits, offset: 0, explanation: "decode(filling:) gives another message: \(message)")
    case .refused(let error):
      throw FramingViolation(
        law: .fillingFits, offset: 0,
        explanation: "decode(filling:) threw on \(hex(frame)), which is a frame: \(error)")
    }
    let others = cuts(of: frame).map { Array(frame.prefix($0)) } + [[], frame + [0], frame + [0xff]]
    for other in others {
      let (own, standard) = filled(other)
      switch (own, standard) {
      case (.refused, .refused): break
      // A framing may turn a refusal into a message, such as a result. That is not the message of the frame.
      case (.message(let message), .refused(let error)):
        if !matches(message) { continue }
        throw FramingViolation(
          law: .fillingFits, offset: min(frame.count, other.count),
          explanation:
            "decode(filling:) takes \(hex(other)) for the frame \(hex(frame)); its default throws \(error)")
      case (.message(let message), .message(let expected)):
        if matches(message) == matches(expected) { continue }
        throw FramingViolation(
          law: .fillingFits, offset: min(frame.count, other.count),
          explanation: "decode(filling:) of \(hex(other)) gives \(message); its default gives \(expected)")
      case (.refused(let error), .message(let expected)): throw refusal(of: other, error, expected)
      }
    }
  }

  /// Checks bytes that no encoder wrote.
  func checkFilling(hostile bytes: [UInt8]) throws(FramingViolation) {
    switch filled(bytes) {
    case (.refused(let error), .message(let expected)): throw refusal(of: bytes, error, expected)
    case (.message(let message as [UInt8]), .message(let expected as [UInt8])) where message != expected:
      throw FramingViolation(
        law: .fillingFits, offset: 0,
        explanation:
          "decode(filling:) of \(hex(bytes)) gives \(hex(message)); its default gives \(hex(expected))")
    case (.message(let message), .refused(let error)) where F.Incoming.self == [UInt8].self:
      throw FramingViolation(
        law: .fillingFits, offset: 0,
        explanation: "decode(filling:) of \(hex(bytes)) gives \(message); its default throws \(error)")
    default: break
    }
  }

  private func refusal(of bytes: [UInt8], _ error: any Error, _ message: F.Incoming) -> FramingViolation {
    FramingViolation(
      law: .fillingFits, offset: 0,
      explanation: "decode(filling:) threw on \(hex(bytes)): \(error); its default gives \(message)")
  }
}

/// A framing with the default of `decode(filling:)`.
private struct StandardFilling<Base: Framing>: Framing {
  let base: Base

  func makeScanner() -> Base.Scanner { base.makeScanner() }

  func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Base.Scanner
  ) throws -> Base.Incoming {
    try base.decode(frame, payload: payload, scanned: scanned)
  }

  func encode(_ message: Base.Outgoing, into parts: inout FrameParts) throws {
    try base.encode(message, into: &parts)
  }
}
