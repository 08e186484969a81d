import Foundation

/// The handshakes of CPython 3.8 to 3.13, from `Vectors/multiprocessing.json`.
struct HandshakeVectors: Decodable, Sendable {
  static let golden: HandshakeVectors = {
    guard
      let url = Bundle.module.url(
        forResource: "multiprocessing", withExtension: "json", subdirectory: "Vectors")
    else { preconditionFailure("Vectors/multiprocessing.json is not among the resources") }
    do {
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      return try decoder.decode(HandshakeVectors.self, from: Data(contentsOf: url))
    } catch {
      preconditionFailure("Vectors/multiprocessing.json: \(error)")
    }
  }()

  struct Bytes: Decodable, Sendable {
    var bytes: [UInt8]

    init(from decoder: any Decoder) throws {
      let digits = Array(try decoder.singleValueContainer().decode(String.self).utf8)
      bytes = try stride(from: 0, to: digits.count, by: 2).map { index in
        guard index + 1 < digits.count,
          let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16)
        else {
          throw DecodingError.dataCorrupted(
            .init(codingPath: decoder.codingPath, debugDescription: "not hexadecimal"))
        }
        return byte
      }
    }
  }

  struct Answer: Decodable, Sendable {
    var authkey: Bytes
    var challengeMessage: Bytes
    var responseNew: Bytes?
  }

  struct BadChallenge: Decodable, Sendable {
    struct Outcome: Decodable, Sendable {
      var result: String
      var sent: [Bytes]
    }
    var authkey: Bytes
    var challengeMessage: Bytes
    var new: Outcome
  }

  struct Verification: Decodable, Sendable {
    var `case`: String
    var authkey: Bytes
    var challengeMessage: Bytes
    var response: Bytes
    var verdictMessage: Bytes?
    var result: String
  }

  struct Transcript: Decodable, Sendable {
    struct Message: Decodable, Sendable {
      var sender: String
      var wire: [UInt8]

      init(from decoder: any Decoder) throws {
        var container = try decoder.unkeyedContainer()
        sender = try container.decode(String.self)
        wire = try container.decode(Bytes.self).bytes
      }
    }
    var listener: String
    var client: String
    var listenerAuthkey: Bytes
    var clientAuthkey: Bytes
    var wire: [Message]
    var listenerResult: String
    var clientResult: String
  }

  enum CodingKeys: String, CodingKey {
    case answers = "authAnswer"
    case badChallenges = "authAnswerBadChallenge"
    case verifications = "authVerify"
    case transcripts
  }
  var answers: [Answer]
  var badChallenges: [BadChallenge]
  var verifications: [Verification]
  var transcripts: [Transcript]
}
