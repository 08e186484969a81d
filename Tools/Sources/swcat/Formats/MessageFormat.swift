/// The form of messages on lines.
enum MessageFormat: String, CaseIterable, Sendable {
  case text
  case hex
  case base64
  case json
  case tagged

  /// The length of the longest line for a frame of `byteCount` bytes. Each format has spellings that are longer than the
  /// usual ones.
  func longestLine(forFrameOf byteCount: Int) -> Int {
    let factor =
      switch self {
      case .text: 4
      case .hex: 3
      case .base64: 2
      case .json: 6
      case .tagged: 16
      }
    let (product, isTooLarge) = byteCount.multipliedReportingOverflow(by: factor)
    let (sum, isTooLong) = product.addingReportingOverflow(1024)
    return isTooLarge || isTooLong ? .max : sum
  }
}

/// The meaning of a framing's payloads: the line that shows one, and the payload that a line stands for.
protocol PayloadCodec: Sendable {
  /// Appends what shows the payload, without the line feed.
  func show(_ payload: [UInt8], as format: MessageFormat, on line: inout [UInt8]) throws(Misread)
  /// Makes the payload of a line, which comes without its line feed.
  func read(_ line: [UInt8], as format: MessageFormat) throws(Misread) -> [UInt8]
}

/// Payloads that are plain bytes.
struct BytesCodec: PayloadCodec {
  func show(_ payload: [UInt8], as format: MessageFormat, on line: inout [UInt8]) throws(Misread) {
    switch format {
    case .text: EscapedText.write(payload, to: &line)
    case .hex: Hexadecimal.write(payload, to: &line)
    case .base64: Base64.write(payload, to: &line)
    case .json:
      let start = line.count
      try JSONScanner.writeCompact(payload, to: &line)
      JSONScanner.escapeControls(in: &line, from: start)
    case .tagged:
      line += #"{"t":"bytes","hex":""#.utf8
      Hexadecimal.write(payload, to: &line)
      line += #""}"#.utf8
    }
  }

  func read(_ line: [UInt8], as format: MessageFormat) throws(Misread) -> [UInt8] {
    switch format {
    case .text: return try EscapedText.read(line)
    case .hex: return try Hexadecimal.read(line)
    case .base64: return try Base64.read(line)
    case .json:
      var payload: [UInt8] = []
      try JSONScanner.writeCompact(line, to: &payload)
      return payload
    case .tagged:
      let document = try JSONDocument(line)
      let value = try TaggedFields(document.root, in: document)
      switch value.type {
      case "bytes", "bytearray": return try value.wire("hex")
      case "str": return Array(try value.text().utf8)
      default:
        throw Misread(
          at: value.offset, expected: "a value of type bytes or str, as this framing carries bytes",
          found: "type \(value.type)")
      }
    }
  }
}
