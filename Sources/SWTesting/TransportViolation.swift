/// A law of `SocketLike` that a transport broke, as `checkTransport` found it.
public struct TransportViolation: Error, Hashable, Sendable {
  /// A law of every transport.
  @nonexhaustive
  public enum Law: String, Hashable, Sendable, CaseIterable {
    /// Accepted bytes arrive exactly once and in order, and no other bytes arrive.
    case deliversInOrder
    /// An attempt on a stream moves at least one byte and at most the bytes it was given. On datagrams it moves one whole
    /// datagram.
    case countsRightly
    /// If no bytes are there, a receive reports that it would block. If no room is left, a send does.
    case blocksInsteadOfWaiting
    /// After an attempt that would block, readiness is signalled when another one may make progress.
    case tellsReadiness
    /// Several parts are sent as if they were one.
    case gathersParts
    /// Data before an end, or before an error that ends receiving, is received before it. Later receives find the end again.
    case endsBehindData
    /// Sending to a peer that has closed fails.
    case failsWithoutPeer
    /// An attempt that may take long is offloaded exactly once.
    case offloadsOnce
    /// The inheritance flag reads as it was set, and is off at first.
    case isInheritedOnlyIfTold
    /// Message endpoints over the transport lose no message.
    case carriesMessages
  }

  public var law: Law

  /// The expected and the actual result.
  public var explanation: String
}

extension TransportViolation: CustomStringConvertible {
  public var description: String { "the transport breaks the law '\(law)': \(explanation)" }
}
