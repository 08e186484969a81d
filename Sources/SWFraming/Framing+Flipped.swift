extension Framing where Incoming == Outgoing {
  /// The framing for the other side of a conversation: what this one sends, that one receives. The same,
  /// where both sides send and receive the same type; framings whose types differ have one of their own.
  @inlinable
  public var flipped: Self { self }
}
