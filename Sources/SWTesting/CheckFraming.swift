public import SWFraming

/// Checks that a framing keeps the laws of `Framing` and `FrameScanner`. It works with every test library: it returns
/// if the laws are kept and throws if one is broken.
///
/// ```swift
/// @Test func `my framing keeps the laws`() throws {
///   try checkFraming(MyFraming(), messages: [[], [0], Array(repeating: 7, count: 300)]) { byteCount in
///     Array(repeating: 9, count: byteCount)  // a large message, for the time check
///   }
/// }
/// ```
///
/// The check encodes each message. It scans and decodes the frame as a whole, byte by byte, cut at every point (long
/// frames: at many points), followed by other frames and by garbage, and in the steps of an endpoint that never reads
/// more than it was asked for. Then it checks copies of scanners, invalid input, and time. The laws are the cases of
/// ``FramingViolation/Law``.
///
/// The invalid input includes lengths with leading zeros, a sign or blanks, and lengths that overflow. The laws do not
/// say whether a format accepts `007`, `+5` or `-0`. They demand that the framing does not trap, that its answer does
/// not depend on how the bytes are cut, and that no demand is below 1. If the format forbids such lengths, test that
/// separately.
///
/// A framing that traps ends the process, and no check can turn that into an error. For example, `FrameDemand` traps
/// if a payload's range leaves its frame. Standard error then shows the bytes on which it trapped, up to 128 of them,
/// and the seed.
///
/// - Parameters:
///   - framing: the framing to check.
///   - messages: the messages to send: the empty message, the shortest, those on each side of every limit of the
///     format, and one of some thousand bytes.
///   - seed: the seed of random choices. The same seed makes the same choices.
///   - hostileInputs: the number of inputs of random and of mutated bytes.
///   - measuresTime: whether to check that the work is linear. The check uses the thread's processor time, so a busy
///     machine does not matter, and a generous threshold.
///   - largeMessage: makes a message whose frame has roughly the given number of bytes, or returns nil if there is
///     none. Without it, time is not measured.
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

/// Checks a byte framing, and also that its envelope is what it encodes and scans, and that a scanned payload is the
/// message: ``FramingViolation/Law/envelopeFits``.
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
  var frames: [[UInt8]] = []
  for (index, message) in messages.enumerated() {
    frames.append(try checkEnvelope(of: framing, around: message, index: index))
  }
  var check = FramingCheck(framing, frames: frames, seed: seed)
  try check.checkPayloads(inputs: hostileInputs)
}

/// Checks a framing whose messages cannot be compared with `==`, or whose messages have different types for sending
/// and receiving.
///
/// - Parameter isEqual: whether the received message equals the sent one.
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

/// Checks the receiving side of one framing with frames that the peer's framing sends.
///
/// If the two sides of a conversation differ, check each direction:
///
/// ```swift
/// try checkFraming(client, peer: server, messages: responses, isEqual: ==)
/// try checkFraming(server, peer: client, messages: requests, isEqual: ==)
/// ```
///
/// - Parameters:
///   - framing: the framing that scans and decodes.
///   - peer: the framing that encodes.
///   - isEqual: whether the received message equals the sent one.
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

/// Returns the frame.
private func checkEnvelope<F: ByteFraming>(
  of framing: F, around message: [UInt8], index: Int
) throws(FramingViolation) -> [UInt8] {
  func violation(at offset: Int, _ explanation: String) -> FramingViolation {
    FramingViolation(
      law: .envelopeFits, messageIndex: index, offset: offset, explanation: explanation)
  }

  let envelope: FrameEnvelope
  let sized: FrameEnvelope?
  let demand: FrameDemand
  let frame = try encode(message, in: framing, index: index)
  do {
    envelope = try framing.envelope(for: message.span)
    sized = try framing.envelope(forByteCount: message.count)
    var scanner = framing.makeScanner()
    demand = try scanner.demand(in: frame.span)
  } catch {
    throw violation(at: 0, "threw what it did not throw before: \(error)")
  }

  func bytes(in envelope: FrameEnvelope) -> [UInt8] {
    var parts = FrameParts()
    parts.append(envelope.header)
    parts.append(message)
    parts.append(envelope.trailer)
    return parts.bytes
  }
  if bytes(in: envelope) != frame {
    throw violation(
      at: 0, "header, payload and trailer are \(hex(bytes(in: envelope))), encode gave \(hex(frame))")
  }
  if let sized, bytes(in: sized) != frame {
    throw violation(
      at: 0, "with envelope(forByteCount:) the frame is \(hex(bytes(in: sized))), encode gave \(hex(frame))")
  }
  let expected = envelope.header.count..<(envelope.header.count + message.count)
  if demand.payload != expected {
    throw violation(
      at: expected.lowerBound, "the payload lies at \(expected), the scanner says \(demand)")
  }
  return frame
}
