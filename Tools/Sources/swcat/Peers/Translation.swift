/// Payloads of one framing as payloads of another.
///
/// Payloads of one kind pass unchanged. A pickle and a MessagePack value are translated through the lossless form, which
/// both have. Between values and bytes, the bytes are the value's JSON text.
struct Translation: Sendable {
  let from: FramingChoice
  let to: FramingChoice

  func payload(of message: Message) throws(Misread) -> [UInt8] {
    if from.kind == to.kind { return message.payload }
    let format: MessageFormat = from.kind == .bytes || to.kind == .bytes ? .json : .tagged
    if from.kind == .bytes { return try to.codec.read(message.payload, as: format) }
    var line: [UInt8] = []
    try from.codec.show(message.payload, as: format, on: &line)
    return to.kind == .bytes ? line : try to.codec.read(line, as: format)
  }
}
