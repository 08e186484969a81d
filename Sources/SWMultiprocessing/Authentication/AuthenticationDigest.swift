#if Multiprocessing
  internal import Crypto
#endif

/// A digest of Python's `multiprocessing` handshake: with it a side proves that it knows the key (HMAC).
///
/// Digests are ordered by their strength: `md5`, `sha256`, `sha3_256`, `sha384`, `sha3_384`.
public enum AuthenticationDigest: String, Hashable, Sendable, CaseIterable, Comparable {
  /// The only digest of Python 3.8 to 3.11.
  case md5
  /// SHA-256, which Python from 3.12 on names in its challenges.
  case sha256
  /// SHA3-256.
  case sha3With256Bits = "sha3_256"
  /// SHA-384.
  case sha384
  /// SHA3-384.
  case sha3With384Bits = "sha3_384"

  /// The weaker digest is less.
  public static func < (a: AuthenticationDigest, b: AuthenticationDigest) -> Bool {
    a.strength < b.strength
  }

  private var strength: Int {
    switch self {
    case .md5: 0
    case .sha256: 1
    case .sha3With256Bits: 2
    case .sha384: 3
    case .sha3With384Bits: 4
    }
  }

  /// The name before a challenge or an answer: `{sha256}`.
  var prefix: [UInt8] { Array("{\(rawValue)}".utf8) }

  /// The digest in braces at the beginning of a challenge or an answer.
  enum Named: Equatable, Sendable {
    /// A known digest, and the length of its name in bytes, including the braces.
    case known(AuthenticationDigest, byteCount: Int)
    /// A name that is not known.
    case unknown(String)
    /// No name in braces.
    case absent

    init(in bytes: [UInt8]) {
      guard bytes.first == UInt8(ascii: "{"),
        let end = bytes.prefix(18).firstIndex(of: UInt8(ascii: "}"))
      else {
        self = .absent
        return
      }
      let name = String(decoding: bytes[1..<end], as: UTF8.self)
      if let digest = AuthenticationDigest(rawValue: name) {
        self = .known(digest, byteCount: end + 1)
      } else {
        self = .unknown(name)
      }
    }
  }

  /// The HMAC of a message.
  func code(of message: [UInt8], key: [UInt8]) -> [UInt8] {
    #if Multiprocessing
      let key = SymmetricKey(data: key)
      return switch self {
      case .md5: Array(HMAC<Insecure.MD5>.authenticationCode(for: message, using: key))
      case .sha256: Array(HMAC<SHA256>.authenticationCode(for: message, using: key))
      case .sha3With256Bits: Array(HMAC<SHA3_256>.authenticationCode(for: message, using: key))
      case .sha384: Array(HMAC<SHA384>.authenticationCode(for: message, using: key))
      case .sha3With384Bits: Array(HMAC<SHA3_384>.authenticationCode(for: message, using: key))
      }
    #else
      preconditionFailure("no Authentication can be made without the trait Multiprocessing")
    #endif
  }
}

extension [UInt8] {
  /// Whether both are equal. The time of the comparison depends only on the lengths.
  func isEqualInConstantTime(to other: [UInt8]) -> Bool {
    if count != other.count { return false }
    var difference: UInt8 = 0
    for index in indices { difference |= self[index] ^ other[index] }
    return difference == 0
  }
}
