internal import SWMessaging
internal import SWPickle

/// Payloads that are pickles: Python's values. In hex and base64 they are the pickle's bytes.
struct PickleCodec: PayloadCodec {
  func show(_ payload: [UInt8], as format: MessageFormat, on line: inout [UInt8]) throws(Misread) {
    switch format {
    case .hex, .base64: try BytesCodec().show(payload, as: format, on: &line)
    case .json: try PickleJSON.write(try value(of: payload), payloadSize: payload.count, to: &line)
    case .tagged: try write(try value(of: payload), to: &line)
    case .text:
      let value = try value(of: payload)
      if let text = value.text { return EscapedText.write(Array(text.utf8), to: &line) }
      let end = line.count
      do throws(Misread) {
        try PickleJSON.write(value, payloadSize: payload.count, to: &line)
      } catch {
        line.removeLast(line.count - end)
        try write(value, to: &line)
      }
    }
  }

  func read(_ line: [UInt8], as format: MessageFormat) throws(Misread) -> [UInt8] {
    switch format {
    case .hex, .base64: return try BytesCodec().read(line, as: format)
    case .json: return try pickle(of: try PickleJSON.read(try JSONDocument(line)))
    case .tagged:
      var reader = PickleTaggedReader(try JSONDocument(line))
      return try pickle(of: try reader.read())
    case .text:
      let bytes = try EscapedText.read(line)
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw Misread(
          at: 0, expected: "UTF-8, as the line becomes a str of Python's", found: described(bytes[...]))
      }
      return try pickle(of: PickleValue(text))
    }
  }

  private func write(_ value: PickleValue, to line: inout [UInt8]) throws(Misread) {
    var writer = PickleTaggedWriter()
    try writer.write(value, to: &line)
  }

  private func value(of payload: [UInt8]) throws(Misread) -> PickleValue {
    do {
      return try PickleValue(pickle: payload)
    } catch let error as PickleError {
      let found =
        if case .notAllowed(let name) = error.kind { "\(error.found): \(name)" } else { error.found }
      throw Misread(at: error.offset, expected: error.expected, found: found)
    } catch {
      throw Misread(at: 0, expected: "a pickle", found: "\(error)")
    }
  }

  private func pickle(of value: PickleValue) throws(Misread) -> [UInt8] {
    do throws(PickleError) {
      return try value.pickled()
    } catch {
      throw Misread(at: 0, expected: error.expected, found: error.found)
    }
  }
}
