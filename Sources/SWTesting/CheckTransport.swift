public import SWIO

/// Checks that a transport keeps the laws of `SocketLike`. It works with every test library: it returns if the laws are
/// kept and throws if one is broken.
///
/// ```swift
/// @Test func `my transport keeps the laws`() throws {
///   try checkTransport { try connectedEnds() }
/// }
/// ```
///
/// The check uses a dozen pairs, one after the other, in the direction from `sender` to `receiver`. Check a transport
/// that works in both directions twice; one part sends a byte back, if the receiver accepts it. The check first makes
/// attempts itself; then message endpoints use a pair from several threads. The laws are the cases of
/// ``TransportViolation/Law``.
///
/// The call blocks the calling thread, usually for milliseconds. If readiness does not come within `patience`, that is
/// a violation.
///
/// - Parameters:
///   - seed: the seed of random choices. The same seed makes the same choices.
///   - patience: how long to wait for expected readiness. The default of ten minutes is far more than any machine
///     needs.
///   - makePair: makes connected ends that nothing else uses. The check closes both.
/// - Throws: ``TransportViolation``, the first one found; or the error of `makePair`.
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
  try check.checkUnheardEnd()
  try check.checkMessages()
}
