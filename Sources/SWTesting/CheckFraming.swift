public import SWFraming

/// Holds a framing to the laws of `Framing` and `FrameScanner`. Belongs to no test library: it returns
/// when all is well and throws otherwise.
///
/// ```swift
/// @Test func `my framing keeps the laws`() throws {
///   try checkFraming(MyFraming(), messages: [[], [0], Array(repeating: 7, count: 300)]) { byteCount in
///     Array(repeating: 9, count: byteCount)  // a large message, for the time check
///   }
/// }
/// ```
///
/// Each message is encoded, and its frame scanned and decoded whole, byte by byte, cut at every point
/// (long frames: at many), with other frames and with garbage behind it, and in the steps of an endpoint
/// that never reads more than it was asked to. Then come copies of scanners, bytes that no sender would
/// write, and time. The laws are the cases of ``FramingViolation/Law``.
///
/// Lengths with leading zeros, a sign or blanks, and those that overflow, are among the bytes that no sender would write.
/// No law says whether a format takes or refuses `007`, `+5` or `-0`: the laws demand that it does not trap, that the
/// answer does not depend on how the bytes are cut, and that no demand is below 1. A format that forbids such lengths
/// needs tests of its own.
///
/// A framing that traps takes the process with it, which no check can turn into an error: that a payload's
/// range leaves its frame, for one, `FrameDemand` itself refuses.
///
/// - Parameters:
///   - framing: the framing to check.
///   - messages: what to send: the empty message, the shortest, those on each side of every border the
///     format has, one of some thousand bytes.
///   - seed: of what is chosen at random. The same seed makes the same choices.
///   - hostileInputs: how many inputs of random and of mutated bytes to try.
///   - measuresTime: whether to check that work is linear. Uses the thread's CPU time, so that a busy
///     machine does not matter, and a generous threshold.
///   - largeMessage: makes a message whose frame has roughly so many bytes, or `nil` where there is none;
///     without it, time is not measured.
/// - Throws: ``FramingViolation``, the first one found.
public func checkFraming<F: Framing>(
  _ framing: F,
  messages: [F.Outgoing],
  seed: UInt64 = 1,
  hostileInputs: Int = 1000,
  measuresTime: Bool = true,
  largeMessage: (_ byteCount: Int) -> F.Outgoing? = { _ in nil }
) throws(FramingViolation) where F.Incoming == F.Outgoing, F.Outgoing: Equatable {
  try checkFraming(
    framing, peer: framing, messages: messages, seed: seed, hostileInputs: hostileInputs,
    measuresTime: measuresTime, largeMessage: largeMessage, isEqual: ==)
}

/// Holds a framing of payloads to the laws, and what it puts around them to what it scans:
/// ``FramingViolation/Law/envelopeFits``.
///
/// The parameters are those of `checkFraming(_:messages:seed:hostileInputs:measuresTime:largeMessage:)`.
public func checkFraming<F: ByteFraming>(
  _ framing: F,
  messages: [[UInt8]],
  seed: UInt64 = 1,
  hostileInputs: Int = 1000,
  measuresTime: Bool = true,
  largeMessage: (_ byteCount: Int) -> [UInt8]? = { _ in nil }
) throws(FramingViolation) {
  try checkFraming(
    framing, peer: framing, messages: messages, seed: seed, hostileInputs: hostileInputs,
    measuresTime: measuresTime, largeMessage: largeMessage, isEqual: ==)
  for (index, message) in messages.enumerated() {
    try checkEnvelope(of: framing, around: message, index: index)
  }
}

/// Holds a framing to the laws whose messages cannot be compared with `==`, or differ in type between
/// sending and receiving.
///
/// - Parameter isEqual: whether what arrived is what was sent.
///
/// The other parameters are those of
/// `checkFraming(_:messages:seed:hostileInputs:measuresTime:largeMessage:)`.
public func checkFraming<F: Framing>(
  _ framing: F,
  messages: [F.Outgoing],
  seed: UInt64 = 1,
  hostileInputs: Int = 1000,
  measuresTime: Bool = true,
  largeMessage: (_ byteCount: Int) -> F.Outgoing? = { _ in nil },
  isEqual: (_ sent: F.Outgoing, _ received: F.Incoming) -> Bool
) throws(FramingViolation) {
  try checkFraming(
    framing, peer: framing, messages: messages, seed: seed, hostileInputs: hostileInputs,
    measuresTime: measuresTime, largeMessage: largeMessage, isEqual: isEqual)
}

/// Holds the receiving side of one framing to the laws, with frames that its peer's framing sends.
///
/// A conversation whose two sides differ takes two checks, one in each direction:
///
/// ```swift
/// try checkFraming(client, peer: server, messages: responses, isEqual: ==)
/// try checkFraming(server, peer: client, messages: requests, isEqual: ==)
/// ```
///
/// - Parameters:
///   - framing: scans and decodes.
///   - peer: encodes.
///   - isEqual: whether what arrived is what was sent.
///
/// The other parameters are those of
/// `checkFraming(_:messages:seed:hostileInputs:measuresTime:largeMessage:)`.
public func checkFraming<F: Framing, Peer: Framing>(
  _ framing: F,
  peer: Peer,
  messages: [Peer.Outgoing],
  seed: UInt64 = 1,
  hostileInputs: Int = 1000,
  measuresTime: Bool = true,
  largeMessage: (_ byteCount: Int) -> Peer.Outgoing? = { _ in nil },
  isEqual: (_ sent: Peer.Outgoing, _ received: F.Incoming) -> Bool
) throws(FramingViolation) {
  precondition(!messages.isEmpty, "a check without messages checks nothing")
  var frames: [[UInt8]] = []
  for (index, message) in messages.enumerated() {
    frames.append(try encode(message, in: peer, index: index))
  }

  var check = FramingCheck(framing, frames: frames, seed: seed)
  try check.checkMessages { index, received in isEqual(messages[index], received) }
  try check.checkHostileBytes(inputs: hostileInputs)

  guard measuresTime,
    let small = largeMessage(FramingCheck<F>.smallByteCount),
    let large = largeMessage(FramingCheck<F>.largeByteCount)
  else { return }
  try check.checkTime(
    small: try encode(small, in: peer, index: nil), large: try encode(large, in: peer, index: nil))
}

private func encode<F: Framing>(
  _ message: F.Outgoing, in framing: F, index: Int?
) throws(FramingViolation) -> [UInt8] {
  var parts = FrameParts()
  do {
    try framing.encode(message, into: &parts)
  } catch {
    throw FramingViolation(
      law: .encodes, messageIndex: index, offset: 0, explanation: "encode threw: \(error)")
  }
  if parts.byteCount == 0 {
    throw FramingViolation(
      law: .encodes, messageIndex: index, offset: 0, explanation: "encode gave no bytes at all")
  }
  return parts.bytes
}

private func checkEnvelope<F: ByteFraming>(
  of framing: F, around message: [UInt8], index: Int
) throws(FramingViolation) {
  func violation(at offset: Int, _ explanation: String) -> FramingViolation {
    FramingViolation(
      law: .envelopeFits, messageIndex: index, offset: offset, explanation: explanation)
  }

  let envelope: FrameEnvelope
  let demand: FrameDemand
  let frame = try encode(message, in: framing, index: index)
  do {
    envelope = try framing.envelope(for: message.span)
    var scanner = framing.makeScanner()
    demand = try scanner.demand(in: frame.span)
  } catch {
    throw violation(at: 0, "threw what it did not throw before: \(error)")
  }

  var parts = FrameParts()
  parts.append(envelope.header)
  parts.append(message)
  parts.append(envelope.trailer)
  if parts.bytes != frame {
    throw violation(
      at: 0, "header, payload and trailer are \(hex(parts.bytes)), encode gave \(hex(frame))")
  }
  let expected = envelope.header.count..<(envelope.header.count + message.count)
  if demand.payload != expected {
    throw violation(
      at: expected.lowerBound, "the payload lies at \(expected), the scanner says \(demand)")
  }
}
