import Testing

/// `Vectors/varint.json`, written by Python's socketwrapper 0.2.0.
struct VarIntVectors: Decodable, Sendable {
  static let golden: VarIntVectors = vectors("varint")

  struct Encoding: Decodable, Sendable, CustomTestStringConvertible {
    var value: Decimal64
    var hex: Wire
    var testDescription: String { "\(value.value)" }
  }
  struct Refused: Decodable, Sendable {
    var value: String
  }
  struct HeaderLength: Decodable, Sendable {
    var firstByte: Wire
    var total: Int
  }
  struct Overlong: Decodable, Sendable, CustomTestStringConvertible {
    var hex: Wire
    var value: Decimal64
    var canonicalHex: Wire
    var testDescription: String { "\(hex.bytes) for \(value.value)" }
  }
  struct Frame: Decodable, Sendable, CustomTestStringConvertible {
    var length: Int
    var header: Wire
    var payload: Wire
    var frame: Wire
    var testDescription: String { "\(length) bytes" }
  }
  struct OverlongFrame: Decodable, Sendable, CustomTestStringConvertible {
    var frame: Wire
    var payload: Wire
    var testDescription: String { "\(frame.bytes.prefix(9))" }
  }
  struct Stream: Decodable, Sendable, CustomTestStringConvertible {
    enum End: String, Decodable, Sendable {
      case eof
      case eofInMessage = "eof_in_message"
    }
    var wire: Wire
    var messages: [Wire]
    var end: End
    var partial: Wire
    var chunkLengths: [Int]?
    var testDescription: String { "\(wire.bytes.prefix(20)) in \(chunkLengths ?? [])" }

    /// How Python saw it end, in our words.
    var expectedEnd: StreamEnd {
      switch end {
      case .eof: .betweenFrames
      case .eofInMessage: .insideFrame(partial.bytes)
      }
    }
  }

  var encode: [Encoding]
  var encodeErrors: [Refused]
  var headerLength: [HeaderLength]
  var decodeNoncanonical: [Overlong]
  var frames: [Frame]
  var framesNoncanonicalAccepted: [OverlongFrame]
  var truncated: [Stream]
  var streams: [Stream]
}
