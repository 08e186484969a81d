/// The invariant: in every format, swcat shows a payload or says where it cannot; a line that it showed is read as a
/// payload that it shows in the same way; and a line that it reads is a payload that it shows and reads again as the same.
///
/// The last byte chooses the payloads' meaning and the format, and the others are a payload, and then a line. Built
/// together with the sources of the library's values and of swcat's formats into one module (`Fuzz/run`). A broken
/// invariant traps, and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSwcat(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  guard let choice = bytes.popLast() else { return 0 }
  let codecs: [any PayloadCodec] = [BytesCodec(), PickleCodec(), MsgPackCodec()]
  let codec = codecs[Int(choice) % codecs.count]
  let format = MessageFormat.allCases[Int(choice) / codecs.count % MessageFormat.allCases.count]
  if let line = shown(bytes, codec, format) {
    precondition(!line.contains(UInt8(ascii: "\n")), "two lines")
    if let payload = read(line, codec, format) {
      guard let again = shown(payload, codec, format) else { preconditionFailure("cannot be shown again") }
      // Names that are equal become one object when they are written.
      let isSettled =
        codec is PickleCodec && format == .tagged
        && read(again, codec, format).map { shown($0, codec, format) } == again
      precondition(again == line || isSettled, "shown otherwise")
    } else {
      // A text is also shown of a value that is none.
      precondition(format == .text || isBeyondReading(codec, format), "cannot be read again")
    }
  }
  if !bytes.contains(UInt8(ascii: "\n")), let payload = read(bytes, codec, format) {
    guard let line = shown(payload, codec, format) else { preconditionFailure("cannot be shown") }
    precondition(read(line, codec, format) == payload, "read otherwise")
  }
  return 0
}

private func isBeyondReading(_ codec: any PayloadCodec, _ format: MessageFormat) -> Bool {
  // The lossless form has objects, names and dtypes that only decode writes.
  codec is PickleCodec && format == .tagged
}

private func shown(_ payload: [UInt8], _ codec: any PayloadCodec, _ format: MessageFormat) -> [UInt8]? {
  var line: [UInt8] = []
  do throws(Misread) {
    try codec.show(payload, as: format, on: &line)
    return line
  } catch {
    precondition(error.offset >= 0 && error.offset <= payload.count, "\(error)")
    return nil
  }
}

private func read(_ line: [UInt8], _ codec: any PayloadCodec, _ format: MessageFormat) -> [UInt8]? {
  do throws(Misread) {
    return try codec.read(line, as: format)
  } catch {
    precondition(error.offset >= 0 && error.offset <= line.count, "\(error)")
    return nil
  }
}
