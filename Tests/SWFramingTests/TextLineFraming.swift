import SWFraming

/// Values as lines of text; the smallest framing with a scanner that has state, and with messages that are
/// not bytes and may differ in type between the directions.
struct TextLineFraming<Incoming, Outgoing>: Framing
where
  Incoming: LosslessStringConvertible & Sendable, Outgoing: LosslessStringConvertible & Sendable
{
  struct NotReadable: Error {}

  /// Without this position a scanner takes quadratic time.
  var remembersSearched = true

  func makeScanner() -> TextLineScanner { TextLineScanner(remembersSearched: remembersSearched) }

  func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing TextLineScanner
  ) throws -> Incoming {
    let text = payload.map { index in frame[index] }
    guard let message = Incoming(String(decoding: text, as: UTF8.self)) else { throw NotReadable() }
    return message
  }

  func encode(_ message: Outgoing, into parts: inout FrameParts) throws {
    let line = Array(message.description.utf8) + [0x0a]
    if line.firstIndex(of: 0x0a) != line.count - 1 { throw FramingError(.unrepresentable, offset: 0) }
    parts.append(line)
  }

  /// The same conversation from its other side.
  var flipped: TextLineFraming<Outgoing, Incoming> {
    TextLineFraming<Outgoing, Incoming>(remembersSearched: remembersSearched)
  }
}

struct TextLineScanner: FrameScanner {
  var remembersSearched: Bool
  private var searched = 0

  init(remembersSearched: Bool) { self.remembersSearched = remembersSearched }

  mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
    for index in searched..<received.count where received[index] == 0x0a {
      return .frame(byteCount: index + 1, payload: 0..<index)
    }
    if remembersSearched { searched = received.count }
    return .atLeast(received.count + 1)
  }
}
