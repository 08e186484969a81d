/// A law of `SocketLike` that a transport broke, as `checkTransport` found it.
public struct TransportViolation: Error, Hashable, Sendable {
  /// What every transport must keep to.
  @nonexhaustive
  public enum Law: String, Hashable, Sendable, CaseIterable {
    /// What was accepted arrives once, in order, and nothing else does.
    case deliversInOrder
    /// An attempt moves at least a byte of a stream and at most what it was given; of datagrams a whole one.
    case countsRightly
    /// With nothing there a receive would block, and with no room left a send does.
    case blocksInsteadOfWaiting
    /// After an attempt that would block, readiness comes when another may get on.
    case tellsReadiness
    /// Several parts are sent as if they were in one piece.
    case gathersParts
    /// Data before an end is received before it, and the end stays.
    case endsBehindData
    /// To a peer that is gone, sending fails.
    case failsWithoutPeer
    /// An attempt that may take long is offloaded once.
    case offloadsOnce
    /// The inheritance flag reads as it was set, and is off from the beginning.
    case isInheritedOnlyIfTold
    /// Message endpoints over it lose nothing.
    case carriesMessages
  }

  public var law: Law

  /// What was expected, and what was found.
  public var explanation: String
}

extension TransportViolation: CustomStringConvertible {
  public var description: String { "the transport breaks the law '\(law)': \(explanation)" }
}
