internal import SWFraming

/// Frames that are sent together.
@usableFromInline
struct FrameBatch {
  @usableFromInline var parts = FrameParts()
  /// Where the frames end, counted from the batch's start.
  @usableFromInline var borders: [Int] = []

  @inlinable
  init() {}

  var outgoing: Outgoing { Outgoing(parts, borders: borders) }
}

/// Cuts a sequence of messages into batches of frames that are sent together, each of at most 64 KiB or 1024 frames. So
/// memory does not grow with the sequence, and other senders are served in between. Small messages are gathered in one
/// array, large ones are retained.
@usableFromInline
struct Batches<Messages: IteratorProtocol, F: Framing> where Messages.Element == F.Outgoing {
  @usableFromInline static var mostBytes: Int { 65_536 }
  @usableFromInline static var mostFrames: Int { 1_024 }

  @usableFromInline var messages: Messages
  @usableFromInline let framing: F
  @usableFromInline let progress: (@Sendable (Int, Int) -> Void)?
  /// Whether each frame is a datagram. An empty datagram has no border that would mark it, so it is a batch of its own.
  @usableFromInline let areDatagrams: Bool
  @usableFromInline var owesEmpty = false
  /// The error that ended the batches, if it was not the end of the messages.
  @usableFromInline var failure: EndpointError?
  @usableFromInline var messageCount = 0
  /// The estimated number of messages that are left.
  @usableFromInline var expected: Int

  @inlinable
  init<All: Sequence>(
    _ messages: All, _ framing: F, areDatagrams: Bool = false
  ) where All.Iterator == Messages {
    self.areDatagrams = areDatagrams
    expected = messages.underestimatedCount
    self.messages = messages.makeIterator()
    self.framing = framing
    progress = framing.progress
  }

  @inlinable
  mutating func next() throws(EndpointError) -> FrameBatch? {
    if let failure { throw failure }
    if framing.needsDatagrams, !areDatagrams { throw EndpointError(sending: .needsDatagrams) }
    var batch = FrameBatch()
    if owesEmpty {
      owesEmpty = false
      batch.borders = [0]
      return batch
    }
    let expected = max(1, min(expected, Self.mostFrames))
    batch.borders.reserveCapacity(expected)
    // Progress is reported for each frame.
    let mostFrames = progress == nil ? Self.mostFrames : 1
    while batch.borders.count < mostFrames, batch.parts.byteCount < Self.mostBytes,
      let message = messages.next()
    {
      do throws(EndpointError) {
        try framing.append(message, to: &batch.parts)
        if areDatagrams, batch.parts.byteCount == batch.borders.last ?? 0 {
          owesEmpty = !batch.borders.isEmpty
          if !owesEmpty { batch.borders = [0] }
          break
        }
        batch.borders.append(batch.parts.byteCount)
        // Assume that the other messages are as long.
        if batch.borders.count == 1, batch.parts.byteCount < Self.mostBytes {
          batch.parts.reserve(min(batch.parts.byteCount * (expected - 1), Self.mostBytes))
        }
      } catch {
        // The frames before the failed message are sent first.
        var error = error
        error.messageCount = messageCount + batch.borders.count
        guard let end = batch.borders.last else { throw error }
        batch.parts.truncate(to: end)
        failure = error
        break
      }
    }
    return batch.borders.isEmpty ? nil : batch
  }

  @inlinable
  mutating func sent(_ batch: FrameBatch) {
    messageCount += batch.borders.count
    expected -= batch.borders.count
  }

  @inlinable
  func adjust(_ error: EndpointError) -> EndpointError {
    var error = error
    error.messageCount += messageCount
    return error
  }
}
