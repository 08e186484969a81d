/// Why a handshake failed. The connection is closed.
public struct AuthenticationFailure: Error, Hashable, Sendable {
  /// The cause of the failure.
  @nonexhaustive
  public enum Cause: Hashable, Sendable {
    /// The peer sent no challenge before the deadline. A listener without a key sends none.
    case noChallenge
    /// The peer sent no answer to the challenge before the deadline. A client without a key sends none.
    case noAnswer
    /// The peer did not say before the deadline whether it accepts the answer.
    case noVerdict
    /// The peer closed the connection.
    case ended
    /// The peer refused this side's answer: its key is another one, or it refuses the digest.
    case rejected
    /// The peer's answer is wrong: its key is another one.
    case wrongAnswer
    /// The peer's answer, or the only answer that its challenge allows, has a digest that is weaker than the least.
    case digestTooWeak(AuthenticationDigest, least: AuthenticationDigest)
    /// The peer names a digest that is not known.
    case unknownDigest(String)
    /// The peer sent something that is no message of the handshake. The text says what was expected and what was found.
    case malformed(String)
  }

  /// The cause of the failure.
  public let cause: Cause
  /// This side's role.
  public let role: AuthenticationRole

  /// A failure of this cause, in this side's role.
  public init(_ cause: Cause, as role: AuthenticationRole) {
    self.cause = cause
    self.role = role
  }
}

extension AuthenticationFailure: CustomStringConvertible {
  /// The role and the cause, for people.
  public var description: String {
    let text =
      switch cause {
      case .noChallenge: "the peer sent no challenge in time; a listener without a key sends none"
      case .noAnswer: "the peer did not answer the challenge in time; a client without a key does not"
      case .noVerdict: "the peer did not say in time whether it accepts the answer"
      case .ended: "the peer closed the connection during the handshake"
      case .rejected: "the peer refused the answer: the keys differ, or the peer accepts other digests"
      case .wrongAnswer: "the peer's answer is wrong: its key is another one"
      case .digestTooWeak(let digest, let least):
        "the peer uses the digest \(digest.rawValue), and the least allowed is \(least.rawValue)"
      case .unknownDigest(let name): "the peer names a digest that is not known: \(name.debugDescription)"
      case .malformed(let text): text
      }
    return "authentication failed as \(role.rawValue): \(text)"
  }
}
