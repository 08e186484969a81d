import Testing

/// `Vectors/delimiter.json`, written by Python's socketwrapper 0.2.0.
struct DelimiterVectors: Decodable, Sendable {
  static let golden: DelimiterVectors = vectors("delimiter")

  struct Frame: Decodable, Sendable, CustomTestStringConvertible {
    var delimiter: Wire
    var payload: Wire
    var frame: Wire
    var testDescription: String { "\(payload.bytes.prefix(20)) before \(delimiter.bytes)" }
  }
  struct Refused: Decodable, Sendable, CustomTestStringConvertible {
    var delimiter: Wire
    var payload: Wire
    var text: String
    var testDescription: String { "\(payload.bytes.prefix(20)) before \(delimiter.bytes)" }
  }
  struct Ambiguous: Decodable, Sendable, CustomTestStringConvertible {
    var delimiter: Wire
    var payload: Wire
    var frame: Wire
    var pythonReadsBack: [Wire]
    var leftover: Wire
    var testDescription: String { "\(payload.bytes) before \(delimiter.bytes)" }
  }
  struct Stream: Decodable, Sendable, CustomTestStringConvertible {
    enum End: String, Decodable, Sendable {
      case eof
      case eofInMessage = "eof_in_message"
    }
    var delimiter: Wire
    var wire: Wire
    var messages: [Wire]
    var end: End
    var partial: Wire
    var chunkLengths: [Int]?
    var testDescription: String {
      "\(wire.bytes.prefix(20)) by \(delimiter.bytes) in \(chunkLengths?.prefix(20) ?? [])"
    }

    /// How Python saw it end, in our words.
    var expectedEnd: StreamEnd {
      switch end {
      case .eof: .betweenFrames
      case .eofInMessage: .insideFrame(partial.bytes)
      }
    }
  }

  var frames: [Frame]
  var errors: [Refused]
  var ambiguous: [Ambiguous]
  var streams: [Stream]
}
