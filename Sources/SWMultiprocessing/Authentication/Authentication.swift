/// The key that both sides of a connection share, Python's `authkey`, and the rules by which it is proved.
///
/// ```swift
/// let authentication = Authentication(key: "secret", leastDigest: .sha256)
/// let peer = try await connect(to: .unix("/run/jobs.sock"), framing: .multiprocessing, authentication: authentication)
/// ```
///
/// Making one needs the package trait `Multiprocessing`, which brings swift-crypto:
///
/// ```swift
/// .package(url: "https://github.com/…/swift-socketwrapper", from: "0.1.0", traits: ["Multiprocessing"])
/// ```
///
/// **What the handshake gives.** Each side proves that it knows the key; the key itself is not sent. Messages are neither
/// encrypted nor authenticated afterwards, and a man in the middle can hand the handshake on. Python unpickles every message
/// that it receives, so a peer that knows the key can run anything in a Python process. Use it over Unix sockets and
/// loopback, or inside an encrypted connection.
///
/// **Digests.** The side that answers a challenge chooses the digest. Python from 3.12 on answers with the digest that the
/// challenge names, and accepts any that it knows, `md5` included. Python 3.8 to 3.11 has `md5` alone. With a
/// ``leastDigest`` this side names that digest (`sha256` at least) in its challenges, answers with that digest or with a
/// stronger one if the challenge names it, and refuses answers with a weaker one. So neither proof of a completed
/// handshake used a weaker digest. It cannot keep the peer from giving weaker proofs to others.
///
/// **An empty key.** The handshake takes place, with an empty key. Python's Client and, from 3.13 on, its Listener do
/// the same. A Listener of Python 3.8 to 3.12 with an empty key expects no handshake: connect to it without
/// authentication.
public struct Authentication: Sendable {
  /// The weakest digest that this side uses and accepts.
  public let leastDigest: AuthenticationDigest

  /// How long a handshake may take. 10 seconds unless it is set. A call's own timeout and deadline hold as well.
  public var timeLimit = Duration.seconds(10)

  private let key: [UInt8]

  #if Multiprocessing
    /// - Parameters:
    ///   - key: the bytes of the key; Python's `authkey`.
    ///   - leastDigest: the weakest digest to use and to accept. `md5` is needed for Python 3.8 to 3.11.
    public init(key: [UInt8], leastDigest: AuthenticationDigest = .md5) {
      self.key = key
      self.leastDigest = leastDigest
    }

    /// - Parameters:
    ///   - key: the key, whose UTF-8 bytes are taken.
    ///   - leastDigest: the weakest digest to use and to accept. `md5` is needed for Python 3.8 to 3.11.
    public init(key: String, leastDigest: AuthenticationDigest = .md5) {
      self.init(key: Array(key.utf8), leastDigest: leastDigest)
    }
  #else
    @available(
      *, unavailable,
      message:
        "enable the trait Multiprocessing of the package swift-socketwrapper, which brings swift-crypto"
    )
    public init(key: [UInt8], leastDigest: AuthenticationDigest = .md5) {
      self.key = key
      self.leastDigest = leastDigest
    }

    @available(
      *, unavailable,
      message:
        "enable the trait Multiprocessing of the package swift-socketwrapper, which brings swift-crypto"
    )
    public init(key: String, leastDigest: AuthenticationDigest = .md5) {
      self.key = Array(key.utf8)
      self.leastDigest = leastDigest
    }
  #endif

  /// The digest that challenges name.
  var challengeDigest: AuthenticationDigest { max(leastDigest, .sha256) }

  func code(of message: [UInt8], _ digest: AuthenticationDigest) -> [UInt8] {
    digest.code(of: message, key: key)
  }
}

extension Authentication: CustomStringConvertible, CustomReflectable {
  /// The rules without the key.
  public var description: String { "Authentication(leastDigest: \(leastDigest.rawValue))" }

  /// Without the key, which must not come into a log.
  public var customMirror: Mirror { Mirror(self, children: ["leastDigest": leastDigest]) }
}

/// A side of Python's `multiprocessing` handshake: the listener gives the first challenge, and the client the second.
public enum AuthenticationRole: String, Hashable, Sendable {
  /// The side that listens.
  case listener
  /// The side that connects.
  case client
}
