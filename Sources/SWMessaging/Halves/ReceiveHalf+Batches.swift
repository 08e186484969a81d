internal import SWFraming

// Calls that take the frames behind a frame that a caller has just received. They use only bytes that have been received
// already: they make no attempt and never wait. The frames of one call are consecutive in the stream.

extension ReceiveHalf {
  /// The position in the stream behind the frame of an outcome whose message has not been taken yet.
  @usableFromInline
  final func end(of outcome: Outcome) -> UInt64 {
    switch outcome {
    case .lent(let demand): unsafe turn.position(behind: demand)
    case .delivered(let delivery): delivery.end
    case .failed: 0
    }
  }

  /// Consumes a lent frame, and keeps the turn for the frames behind it. The caller ends with `leave(consuming:)`.
  ///
  /// - Returns: the bytes at the front. They are empty if only a separate call can find out what is there.
  @usableFromInline
  final func goOn(after demand: FrameDemand, for source: MessageSource) -> UnsafeRawBufferPointer {
    unsafe turn.consume(demand)
    return unsafe unbegunFront(for: source)
  }

  /// Takes the turn, if no other caller uses the half and none has received since that position. The caller ends with
  /// `leave(consuming:)`.
  ///
  /// - Parameter lends: whether code of the user reads the bytes while the turn is held.
  /// - Returns: as `goOn(after:for:)`. Nil if the turn was not taken.
  @usableFromInline
  final func goOn(
    behind position: UInt64, for source: MessageSource, lends: Bool = false
  ) -> UnsafeRawBufferPointer? {
    guard turnstile.take(forLong: lends) else { return nil }
    guard unsafe turn.position == position else {
      leave(consuming: 0)
      return nil
    }
    return unsafe unbegunFront(for: source)
  }

  /// Takes the turn as `goOn(behind:for:)` does, if a datagram is held. The caller ends with `leave(consuming: 0)`, whether
  /// or not it consumed the datagram.
  final func heldDatagram(behind position: UInt64) -> [UInt8]? {
    guard turnstile.take() else { return nil }
    if unsafe turn.position == position, unsafe turn.holdsItem { return unsafe turn.unread() }
    leave(consuming: 0)
    return nil
  }

  /// Holding the turn: returns the bytes at the front. They are empty if the frame there has been scanned in part.
  private func unbegunFront(for source: MessageSource) -> UnsafeRawBufferPointer {
    if unsafe turn.isAssembled || source.hasBegunFrame(at: turn.position) {
      return unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }
    return unsafe turn.front
  }
}
