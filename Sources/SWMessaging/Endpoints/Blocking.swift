public import SWIO

/// The blocking view of an endpoint: the same names, for threads. A call blocks its thread until its
/// result, its deadline or `close`, and uses no other thread.
///
/// The compiler refuses the view and its methods in async code, where a blocking call would block a thread of the
/// pool that others need.
public struct Blocking<E: Endpoint>: Sendable {
  @usableFromInline package let endpoint: E

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
  /// Blocking form of ``SendingEndpoint/flush(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func flush(timeout: Duration? = nil, until deadline: Deadline = .never) throws(EndpointError) {
    let half = endpoint.sendHalf
    let call = SendHalf.Call(
      Outgoing([]), as: .thread, step: .flush, until: CallLimit(timeout, deadline).deadline)
    if let error = half.finishBlocking(half.start(call)) { throw error }
  }

  /// Blocking form of ``SendingEndpoint/close(drainingFor:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func close(drainingFor timeout: Duration) throws(EndpointError) {
    try close(drainingUntil: .after(timeout))
  }

  /// Blocking form of ``SendingEndpoint/close(drainingUntil:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func close(drainingUntil deadline: Deadline) throws(EndpointError) {
    defer { endpoint.close() }
    try flush(until: deadline)
  }
}
