/// One side of the handshake, without I/O.
///
///     listener:  deliver, answer        client:  answer, deliver
///
///     deliver    send "#CHALLENGE#" + M      receive an answer      send "#WELCOME#" or "#FAILURE#"
///     answer     receive a challenge         send an answer         receive "#WELCOME#"
///
/// M is `{name}` and 40 random bytes; from Python to 3.11 it is 20 random bytes. An answer to 20 bytes is their HMAC-MD5
/// alone. Any other answer is `{name}` and the HMAC of the whole of M. Python to 3.11 answers whatever M with HMAC-MD5 alone.
///
/// Source: CPython 3.8 to 3.13, `Lib/multiprocessing/connection.py`, `deliver_challenge` and `answer_challenge`.
struct Handshake: Sendable {
  enum Action: Sendable {
    case send([UInt8])
    case receive
    case done
    /// Close the connection, after a last message if there is one.
    case fail(AuthenticationFailure.Cause, after: [UInt8]?)
  }

  private enum State: Sendable {
    case delivering
    case awaitingAnswer
    case awaitingChallenge
    case awaitingVerdict
    /// A message has been sent that ends a part.
    case endedPart
  }

  let role: AuthenticationRole
  private let authentication: Authentication
  private let message: [UInt8]
  private var state: State
  private var isSecondPart = false

  private static let challenge = Array("#CHALLENGE#".utf8)
  private static let welcome = Array("#WELCOME#".utf8)
  private static let failure = Array("#FAILURE#".utf8)
  /// The length of Python's challenges to 3.11, in bytes.
  private static var legacyByteCount: Int { 20 }

  init(as role: AuthenticationRole, with authentication: Authentication) {
    var generator = SystemRandomNumberGenerator()
    self.init(
      as: role, with: authentication,
      message: authentication.challengeDigest.prefix
        + (0..<40).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
  }

  /// - Parameter message: the challenge that this side delivers.
  init(as role: AuthenticationRole, with authentication: Authentication, message: [UInt8]) {
    self.role = role
    self.authentication = authentication
    self.message = message
    state = role == .listener ? .delivering : .awaitingChallenge
  }

  /// The cause of a failure in which no message comes in time.
  var silence: AuthenticationFailure.Cause {
    switch state {
    case .awaitingChallenge: .noChallenge
    case .awaitingVerdict, .endedPart: .noVerdict
    case .delivering, .awaitingAnswer: .noAnswer
    }
  }

  /// Returns the next action.
  ///
  /// - Parameter received: the message that the last action was to receive.
  mutating func next(_ received: [UInt8]? = nil) -> Action {
    switch (state, received) {
    case (.delivering, _):
      state = .awaitingAnswer
      return .send(Self.challenge + message)
    case (.awaitingAnswer, let answer?):
      if let cause = fault(in: answer) { return .fail(cause, after: Self.failure) }
      state = .endedPart
      return .send(Self.welcome)
    case (.awaitingChallenge, let challenge?):
      switch answer(to: challenge) {
      case .success(let answer):
        state = .awaitingVerdict
        return .send(answer)
      case .failure(let failure): return .fail(failure.cause, after: nil)
      }
    case (.awaitingVerdict, let verdict?):
      if verdict == Self.failure { return .fail(.rejected, after: nil) }
      guard verdict == Self.welcome else {
        return .fail(malformed("#WELCOME# or #FAILURE#", verdict), after: nil)
      }
      return endPart()
    case (.endedPart, _): return endPart()
    case (.awaitingAnswer, nil), (.awaitingChallenge, nil), (.awaitingVerdict, nil): return .receive
    }
  }

  private mutating func endPart() -> Action {
    if isSecondPart { return .done }
    isSecondPart = true
    state = role == .listener ? .awaitingChallenge : .delivering
    return next()
  }

  // MARK: The parts

  private func answer(to challenge: [UInt8]) -> Result<[UInt8], AuthenticationFailure> {
    func failure(_ cause: AuthenticationFailure.Cause) -> Result<[UInt8], AuthenticationFailure> {
      .failure(AuthenticationFailure(cause, as: role))
    }
    guard challenge.starts(with: Self.challenge) else {
      return failure(malformed("#CHALLENGE#", challenge))
    }
    let message = Array(challenge.dropFirst(Self.challenge.count))
    if message.count < Self.legacyByteCount {
      return failure(.malformed("expected a challenge of 20 bytes or more; found \(message.count) bytes"))
    }
    if message.count == Self.legacyByteCount {
      if authentication.leastDigest > .md5 {
        return failure(.digestTooWeak(.md5, least: authentication.leastDigest))
      }
      return .success(authentication.code(of: message, .md5))
    }
    switch AuthenticationDigest.Named(in: message) {
    case .absent:
      return failure(
        .malformed(
          "expected a challenge of 20 bytes, or one that names a digest; found \(message.count) bytes"))
    case .unknown(let name): return failure(.unknownDigest(name))
    case .known(let named, _):
      // The side that answers may choose a stronger digest than the challenge names.
      let digest = max(named, authentication.leastDigest)
      return .success(digest.prefix + authentication.code(of: message, digest))
    }
  }

  /// The fault in an answer; nil if the answer is right.
  private func fault(in answer: [UInt8]) -> AuthenticationFailure.Cause? {
    let digest: AuthenticationDigest
    let code: [UInt8]
    if answer.count == 16 || answer.count == Self.legacyByteCount {
      (digest, code) = (.md5, answer)
    } else {
      switch AuthenticationDigest.Named(in: answer) {
      case .absent: return malformed("an answer", answer)
      case .unknown(let name): return .unknownDigest(name)
      case .known(let named, let byteCount): (digest, code) = (named, Array(answer.dropFirst(byteCount)))
      }
    }
    if digest < authentication.leastDigest {
      return .digestTooWeak(digest, least: authentication.leastDigest)
    }
    let isRight = authentication.code(of: message, digest).isEqualInConstantTime(to: code)
    return isRight ? nil : .wrongAnswer
  }

  private func malformed(_ expected: String, _ found: [UInt8]) -> AuthenticationFailure.Cause {
    let bytes = String(decoding: found.prefix(32), as: UTF8.self).debugDescription
    return .malformed("expected \(expected); found \(found.count) bytes: \(bytes)")
  }
}
