/// The blocking view of an endpoint: the same names, for threads. A call blocks its thread until its
/// result, its deadline or `close`, and uses no other thread. Not to be called from async code, where it
/// would block a thread of the pool that others need.
public struct Blocking<E: Endpoint>: Sendable {
  @usableFromInline let endpoint: E

  @inlinable
  init(endpoint: E) { self.endpoint = endpoint }
}

extension Endpoint {
  /// The same calls, blocking. Not usable from async code.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public var blocking: Blocking<Self> { Blocking(endpoint: self) }
}

extension Blocking where E: SendingEndpoint {
  /// Blocking form of ``SendingEndpoint/flush(timeout:)``.
  public func flush(timeout: Duration? = nil) throws(EndpointError) {
    let call = SendHalf.Call(
      Outgoing([]), as: .thread, step: .flush, until: .after(timeout))
    let half = endpoint.sendHalf
    if let error = half.finishBlocking(half.start(call)) { throw error }
  }

  /// Blocking form of ``SendingEndpoint/close(drainingFor:)``.
  public func close(drainingFor timeout: Duration) throws(EndpointError) {
    defer { endpoint.close() }
    try flush(timeout: timeout)
  }
}
