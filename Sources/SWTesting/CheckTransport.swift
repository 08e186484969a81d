public import SWIO

/// Holds a transport to the laws of `SocketLike`. Belongs to no test library: it returns when all is well and
/// throws otherwise.
///
/// ```swift
/// @Test func `my transport keeps the laws`() throws {
///   try checkTransport { try connectedEnds() }
/// }
/// ```
///
/// It uses a dozen pairs, one after the other, in the direction from `sender` to `receiver`; a transport that goes
/// both ways takes two checks. Attempts are made by hand first, then message endpoints use a pair with threads. The
/// laws are the cases of ``TransportViolation/Law``.
///
/// It blocks the calling thread, mostly for milliseconds. What should come and does not come within `patience` is a
/// violation.
///
/// - Parameters:
///   - seed: of what is chosen at random. The same seed makes the same choices.
///   - patience: how long to wait for readiness that should come. The default of ten minutes is far beyond
///     what any machine needs.
///   - makePair: makes connected ends that nobody else uses; both are closed by the check.
/// - Throws: ``TransportViolation``, the first one found; what `makePair` throws.
public func checkTransport(
  seed: UInt64 = 1, patience: Duration = .seconds(600),
  makePair: @escaping () throws -> (sender: any SocketLike, receiver: any SocketLike)
) throws {
  let check = TransportCheck(seed: seed, patience: patience, makePair: makePair)
  try check.checkInheritance()
  if try check.carriesDatagrams() {
    try check.checkDatagrams()
  } else {
    try check.checkStream(rooms: 1...1, chunks: 1...7, byteCount: 500)
    try check.checkStream(rooms: 1...40_000, chunks: 1...100_000, byteCount: 400_000)
    try check.checkParts()
    try check.checkFullness()
    try check.checkEnd(finishes: true)
    try check.checkEnd(finishes: false)
  }
  try check.checkReadiness()
  try check.checkMissingPeer()
  try check.checkMessages()
}
