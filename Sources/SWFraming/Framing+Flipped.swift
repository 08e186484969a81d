extension Framing where Incoming == Outgoing {
  /// The framing for the other side of the connection: it sends what this framing receives, and receives what this
  /// framing sends. A framing that sends and receives one type is its own counterpart; other framings have their
  /// own `flipped`. Around a ``MappedFraming`` that is not its own counterpart, build the other side from its base.
  @inlinable
  public var flipped: Self { self }
}
