internal import CSysShim
internal import SWIO
internal import SystemPackage

extension Endpoint {
  /// Has the kernel find out when the peer of a TCP connection is lost: its machine has failed, or the way there, so that
  /// no end of the connection comes. Without this, a receive waits for ever, and a send until the kernel has tried for a
  /// quarter of an hour.
  ///
  /// The kernel asks a silent peer whether it is still there (SO_KEEPALIVE), after half of the limit and then after each
  /// quarter. If nothing has come from the peer for about as long as the limit, although it was asked or data was sent to
  /// it (TCP_USER_TIMEOUT), the connection fails: calls that wait, and all later ones, throw `transport` with ETIMEDOUT.
  /// A peer whose program does not answer, but whose kernel does, is not lost.
  ///
  /// May be called from any thread and task, at any time. A connection that a ``Listener`` accepts has it if the listening
  /// socket has it (``Listener/withDescriptor(_:)``).
  ///
  /// - Parameter limit: how long a peer may say nothing; at least a second; more than a day counts as a day. The kernel's timers are whole seconds, so it may
  ///   take a second more. Nil: the peer is not asked any more, and sends are tried for as long as the system does.
  /// - Throws: ``EndpointError`` `closed`; `transport` with the operation `wait`: EOPNOTSUPP over anything but TCP.
  public func setLossDetection(within limit: Duration?) throws(EndpointError) {
    precondition(limit.map { $0 >= .seconds(1) } ?? true, "the limit is at least one second")
    let milliseconds = limit.map { limit in
      let (seconds, attoseconds) = limit.components
      // More than a day makes no practical difference.
      return Int32(min(seconds, 86_400) * 1_000) + Int32(attoseconds / 1_000_000_000_000_000)
    }
    let result: Int32
    do {
      result = try core.halves.withDescriptor { swsys_set_loss_detection($0, milliseconds ?? 0) }
    } catch {
      throw error as? EndpointError ?? EndpointError(.closed)
    }
    if result < 0 { throw EndpointError(.transport(TransportError(.wait, Errno(rawValue: -result)))) }
  }
}
