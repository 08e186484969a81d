import Testing

/// The framing part of `Vectors/multiprocessing.json`, written by CPython 3.8 to 3.13 and socketwrapper
/// 0.2.0.
struct MultiprocessingVectors: Decodable, Sendable {
  static let golden: MultiprocessingVectors = vectors("multiprocessing")

  struct Frame: Decodable, Sendable, CustomTestStringConvertible {
    var length: Int
    var payload: Wire
    var frame: Wire
    var testDescription: String { "\(length) bytes" }
  }
  struct LongHeader: Decodable, Sendable, CustomTestStringConvertible {
    var length: UInt64
    var header: Wire
    var testDescription: String { "\(length) bytes" }
  }
  struct Stream: Decodable, Sendable, CustomTestStringConvertible {
    struct Connection: Decodable, Sendable {
      var messages: [Wire]
      var error: String
    }
    struct SocketWrapper: Decodable, Sendable {
      var messages: [Wire]
      var partial: Wire
    }
    var wire: Wire
    var connection: Connection
    var socketwrapper: SocketWrapper
    var testDescription: String { "\(wire.bytes)" }

    /// Python reads some negative lengths as empty messages.
    var hasNegativeLength: Bool {
      wire.bytes.starts(with: [0xff, 0xff, 0xff, 0xfe]) || wire.bytes.first == 0x80
    }
  }
  struct Hostile: Decodable, Sendable, CustomTestStringConvertible {
    var wire: Wire
    var declared: String
    var testDescription: String { declared }
  }
  struct Limited: Decodable, Sendable, CustomTestStringConvertible {
    struct Outcome: Decodable, Sendable {
      var message: Wire?
      var error: String?
    }
    var length: Int
    var maxlength: Int
    var first: Outcome
    var testDescription: String { "\(length) bytes where \(maxlength) are allowed" }
  }
  struct Transcript: Decodable, Sendable, CustomTestStringConvertible {
    /// The writer, and its bytes.
    struct Write: Decodable, Sendable {
      var bytes: [UInt8]

      init(from decoder: any Decoder) throws {
        var pair = try decoder.unkeyedContainer()
        _ = try pair.decode(String.self)
        bytes = try pair.decode(Wire.self).bytes
      }
    }
    var listener: String
    var client: String
    var wire: [Write]
    var testDescription: String { "\(listener) listens, \(client) connects" }
  }

  var sendBytes: [Frame]
  var longHeaders: [LongHeader]
  var recv: [Stream]
  var hostile: [Hostile]
  var maxlength: [Limited]
  var transcripts: [Transcript]
}
