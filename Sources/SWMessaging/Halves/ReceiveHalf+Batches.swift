internal import SWFraming

// Frames behind a frame that a caller has just received. They are taken from what has been received already: no attempt
// is made, and nothing is waited for. The frames of one call follow one another in the stream.

extension ReceiveHalf {
  /// The position in the stream behind the frame of an outcome that has not been looked at.
  @usableFromInline
  final func end(of outcome: Outcome) -> UInt64 {
    switch outcome {
    case .lent(let demand): unsafe turn.position(behind: demand)
    case .delivered(let delivery): delivery.end
    case .failed: 0
    }
  }

  /// Consumes a frame on loan, and keeps the turn for the frames behind it. Ends with `leave(consuming:)`.
  ///
  /// - Returns: the bytes at the front; none if only a call of its own can tell what is there.
  @usableFromInline
  final func goOn(after demand: FrameDemand, for source: MessageSource) -> UnsafeRawBufferPointer {
    unsafe turn.consume(demand)
    return unsafe unbegunFront(for: source)
  }

  /// Takes the turn, if no other caller is there and none has received since that position. Ends with
  /// `leave(consuming:)`.
  ///
  /// - Returns: as `goOn(after:for:)`; nil: the turn was not taken.
  @usableFromInline
  final func goOn(behind position: UInt64, for source: MessageSource) -> UnsafeRawBufferPointer? {
    guard turnstile.take() else { return nil }
    guard unsafe turn.position == position else {
      leave(consuming: 0)
      return nil
    }
    return unsafe unbegunFront(for: source)
  }

  /// Takes the turn, as `goOn(behind:for:)`, if a datagram is held. Ends with `leave(consuming: 0)`, after the datagram
  /// was consumed or without that.
  final func heldDatagram(behind position: UInt64) -> [UInt8]? {
    guard turnstile.take() else { return nil }
    if unsafe turn.position == position, unsafe turn.holdsItem { return unsafe turn.unread() }
    leave(consuming: 0)
    return nil
  }

  /// Holding the turn: the bytes at the front, unless the frame there has been scanned in part.
  private func unbegunFront(for source: MessageSource) -> UnsafeRawBufferPointer {
    if unsafe turn.isAssembled || source.hasBegunFrame(at: turn.position) {
      return unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }
    return unsafe turn.front
  }
}
