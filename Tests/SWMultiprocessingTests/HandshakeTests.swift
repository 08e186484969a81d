import SWFraming
import TestSupport
import Testing

@testable import SWMultiprocessing

/// The handshake without I/O, against what CPython did.
@Suite(.needsKeys, .lastResort, .leavesNothing) struct HandshakeTests {
  private static let challenge = Array("#CHALLENGE#".utf8)
  private static let welcome = Array("#WELCOME#".utf8)
  private static let failure = Array("#FAILURE#".utf8)

  /// The messages that a side sends until it has to receive.
  private static func sent(_ action: Handshake.Action) -> [UInt8]? {
    if case .send(let message) = action { return message }
    return nil
  }

  private static func cause(_ action: Handshake.Action) -> AuthenticationFailure.Cause? {
    if case .fail(let cause, _) = action { return cause }
    return nil
  }

  @Test func `a challenge is answered as by Python 3.12 and later`() throws {
    let golden = HandshakeVectors.golden.answers
    #expect(golden.count > 20)
    for golden in golden {
      let key = makeKey(golden.authkey.bytes)
      var handshake = Handshake(as: .client, with: key)
      guard case .receive = handshake.next() else {
        Issue.record("a client begins by receiving")
        return
      }
      let action = handshake.next(golden.challengeMessage.bytes)
      #expect(Self.sent(action) == golden.responseNew?.bytes)
    }
  }

  @Test func `a challenge that Python refuses is refused`() {
    for golden in HandshakeVectors.golden.badChallenges where golden.challengeMessage.bytes.count <= 256 {
      var handshake = Handshake(as: .client, with: makeKey(golden.authkey.bytes))
      let action = handshake.next(golden.challengeMessage.bytes)
      #expect(Self.sent(action) == golden.new.sent.first?.bytes, "\(golden.challengeMessage.bytes)")
      #expect((Self.cause(action) == nil) == (golden.new.result == "ok"))
    }
  }

  @Test func `an answer is accepted or refused as by Python 3.12 and later`() throws {
    for golden in HandshakeVectors.golden.verifications where golden.response.bytes.count <= 256 {
      let message = Array(golden.challengeMessage.bytes.dropFirst(Self.challenge.count))
      var handshake = Handshake(as: .listener, with: makeKey(golden.authkey.bytes), message: message)
      #expect(Self.sent(handshake.next()) == golden.challengeMessage.bytes)
      let action = handshake.next(golden.response.bytes)
      if golden.result == "ok" {
        #expect(Self.sent(action) == Self.welcome, "\(golden.case)")
      } else if case .fail(_, let last) = action {
        #expect(last == Self.failure, "\(golden.case)")
      } else {
        Issue.record("accepted: \(golden.case)")
      }
    }
  }

  @Test func `transcripts of Python versions are what this side would have sent`() throws {
    for golden in HandshakeVectors.golden.transcripts where golden.listenerResult == "ok" {
      for role in [AuthenticationRole.listener, .client] {
        let messages = golden.wire.map { (sender: $0.sender, bytes: Array($0.wire.dropFirst(4))) }
        let own = try #require(
          messages.first { $0.sender == role.rawValue && $0.bytes.starts(with: Self.challenge) })
        var handshake = Handshake(
          as: role, with: makeKey(golden.listenerAuthkey.bytes),
          message: Array(own.bytes.dropFirst(Self.challenge.count)))
        var action = handshake.next()
        // The last two are the first messages behind the handshake.
        for message in messages.dropLast(2) {
          if message.sender == role.rawValue {
            let version = role == .listener ? golden.listener : golden.client
            let isNew = Int(version.dropFirst(2)).map { $0 >= 12 } == true
            let sent = try #require(Self.sent(action))
            // An answer that an older Python gives with MD5, this side gives with the digest that the challenge names.
            if isNew || message.bytes.starts(with: "#".utf8) { #expect(sent == message.bytes) }
            action = handshake.next()
          } else {
            guard case .receive = action else {
              Issue.record("expected to receive, \(golden.listener) \(golden.client) \(role)")
              break
            }
            action = handshake.next(message.bytes)
          }
        }
        guard case .done = action else {
          Issue.record("not done: \(golden.listener) \(golden.client) \(role): \(action)")
          continue
        }
      }
    }
  }

  @Test(arguments: AuthenticationDigest.allCases, AuthenticationDigest.allCases)
  func `both sides use at least the digest that either demands, or refuse`(
    _ listener: AuthenticationDigest, _ client: AuthenticationDigest
  ) throws {
    var left = Handshake(as: .listener, with: key(least: listener))
    var right = Handshake(as: .client, with: key(least: client))
    let first = try #require(Self.sent(left.next()))
    let answer = try #require(Self.sent(right.next(first)))
    let named = AuthenticationDigest.Named(in: answer)
    guard case .known(let digest, _) = named else {
      Issue.record("\(named)")
      return
    }
    #expect(digest >= client && digest >= listener)
    #expect(Self.sent(left.next(answer)) == Self.welcome)
  }

  @Test func `a weaker digest than the least is neither given nor accepted`() throws {
    var client = Handshake(as: .client, with: key(least: .sha256))
    #expect(
      Self.cause(client.next(Self.challenge + [UInt8](repeating: 1, count: 20)))
        == .digestTooWeak(.md5, least: .sha256))
    // A challenge that names MD5 may be answered with a stronger digest.
    var other = Handshake(as: .client, with: key(least: .sha384))
    let answer = Self.sent(
      other.next(Self.challenge + Array("{md5}".utf8) + [UInt8](repeating: 1, count: 40)))
    #expect(answer?.starts(with: Array("{sha384}".utf8)) == true)

    var listener = Handshake(as: .listener, with: key(least: .sha384))
    let challenge = try #require(Self.sent(listener.next()))
    #expect(challenge.starts(with: Self.challenge + Array("{sha384}".utf8)))
    let message = Array(challenge.dropFirst(Self.challenge.count))
    let weak = AuthenticationDigest.sha256
    let action = listener.next(weak.prefix + key().code(of: message, weak))
    #expect(Self.cause(action) == .digestTooWeak(.sha256, least: .sha384))
  }

  @Test func `challenges differ`() {
    var first = Handshake(as: .listener, with: key())
    var second = Handshake(as: .listener, with: key())
    #expect(Self.sent(first.next()) != Self.sent(second.next()))
  }

  @Test func `the key is not in a description`() {
    let authentication = key("do not show this")
    #expect(!"\(authentication)".contains("show"))
    #expect(!String(reflecting: authentication).contains("show"))
    var dumped = ""
    dump(authentication, to: &dumped)
    #expect(!dumped.contains("show"))
  }
}
