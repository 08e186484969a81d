/// Pauses between attempts to accept that fail although the listener is usable, because the reactor's thread cannot be started,
/// for example. They grow from 1 ms to 100 ms, so the end of a service does not wait long for one.
struct AcceptBackoff {
  private var pause = Self.shortest

  private static var shortest: Duration { .milliseconds(1) }
  private static var longest: Duration { .milliseconds(100) }

  /// The length of the next pause.
  mutating func next() -> Duration {
    defer { pause = min(pause * 2, Self.longest) }
    return pause
  }

  /// Notes that a connection has been accepted.
  mutating func reset() { pause = Self.shortest }
}
