internal import SWFraming
public import SWIO
public import SWMessaging
public import SystemPackage

extension SendingEndpoint {
  /// Passes descriptors between two messages, as `send_handle` and `sendfds` of Python's `multiprocessing.reduction` do:
  /// over a Unix socket, with one byte that says how many they are.
  ///
  /// ```
  ///   ╭─ count mod 256 ─╮
  ///   │ 01              │ + SCM_RIGHTS
  ///   ╰─────────────────╯
  /// ```
  ///
  /// No byte of another caller's message comes between, and the byte comes behind every message whose send was called
  /// before. The peer must expect it: a message and the descriptors that belong to it are sent by one task or thread,
  /// while no other sends.
  ///
  /// The descriptors stay the caller's, to be kept open until this call returns.
  ///
  /// - Parameters:
  ///   - descriptors: from 1 to 253.
  ///   - timeout: how long to wait at most; nil: without limit.
  ///   - deadline: until when to wait at most.
  /// - Throws: `EndpointError` as `ByteSending.send(_:passing:timeout:until:)`. After an error nothing has gone out.
  ///
  /// Source: CPython 3.8 to 3.13, `Lib/multiprocessing/reduction.py`, `sendfds`.
  public func sendHandles(
    _ descriptors: [FileDescriptor], timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) {
    try await SocketWriter(core: core)
      .send(handleCount(descriptors), passing: descriptors, timeout: timeout, until: deadline)
  }

  /// Passes one descriptor between two messages; see `sendHandles(_:timeout:until:)`.
  public func sendHandle(
    _ descriptor: FileDescriptor, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) {
    try await sendHandles([descriptor], timeout: timeout, until: deadline)
  }
}

extension ReceivingEndpoint {
  /// Receives the descriptors that `send_handle` or `sendfds` of Python's `multiprocessing.reduction` passed between two
  /// messages.
  ///
  /// The next byte must be that of the descriptors: call it when the peer is known to pass some, and while no other
  /// caller receives.
  ///
  /// - Requires: `ReceivingEndpoint.maximumDescriptors` has been set before the descriptors came, to as many
  ///   as are passed at once.
  /// - Parameters:
  ///   - timeout: how long to wait at most; nil: without limit.
  ///   - deadline: until when to wait at most.
  /// - Returns: the descriptors, close-on-exec, to be taken. (Python's own are inheritable.)
  /// - Throws: ``MultiprocessingError``
  ///   - `connection`: `EndpointError` as of any receive, and nothing has been received.
  ///   - `unexpected`: the byte came with no descriptor, or with another number of them than it says. It has been
  ///     received, and the descriptors are closed.
  ///
  /// Source: CPython 3.8 to 3.13, `Lib/multiprocessing/reduction.py`, `recvfds`.
  public func receiveHandles(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> ReceivedDescriptors {
    precondition(maximumDescriptors > 0, "set maximumDescriptors before receiving handles")
    do throws(EndpointError) {
      return try handles(
        of: try await SocketReader(core: core).receiveBytes(upTo: 1, timeout: timeout, until: deadline))
    } catch {
      throw MultiprocessingError(handles: error)
    }
  }

  /// Receives one descriptor that was passed between two messages; see `receiveHandles(timeout:until:)`. If more were
  /// passed, the others are closed.
  public func receiveHandle(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> OwnedDescriptor {
    try await receiveHandles(timeout: timeout, until: deadline).takeFirst()
  }
}

extension Blocking where E: SendingEndpoint {
  /// Blocking form of `SendingEndpoint.sendHandles(_:timeout:until:)`.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func sendHandles(
    _ descriptors: [FileDescriptor], timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) {
    try SocketWriter(core: endpoint.core).blocking
      .send(handleCount(descriptors), passing: descriptors, timeout: timeout, until: deadline)
  }

  /// Blocking form of `SendingEndpoint.sendHandle(_:timeout:until:)`.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func sendHandle(
    _ descriptor: FileDescriptor, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) {
    try sendHandles([descriptor], timeout: timeout, until: deadline)
  }
}

extension Blocking where E: ReceivingEndpoint {
  /// Blocking form of `ReceivingEndpoint.receiveHandles(timeout:until:)`.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func receiveHandles(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> ReceivedDescriptors {
    precondition(
      endpoint.maximumDescriptors > 0, "set maximumDescriptors before receiving handles")
    do throws(EndpointError) {
      return try handles(
        of: try SocketReader(core: endpoint.core).blocking
          .receiveBytes(upTo: 1, timeout: timeout, until: deadline))
    } catch {
      throw MultiprocessingError(handles: error)
    }
  }

  /// Blocking form of `ReceivingEndpoint.receiveHandle(timeout:until:)`.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func receiveHandle(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> OwnedDescriptor {
    try receiveHandles(timeout: timeout, until: deadline).takeFirst()
  }
}

private func handleCount(_ descriptors: [FileDescriptor]) -> [UInt8] {
  precondition(!descriptors.isEmpty, "at least one descriptor is passed")
  return [UInt8(truncatingIfNeeded: descriptors.count)]
}

/// The byte came with another number of descriptors than it says.
private struct UnexpectedHandles: Error {
  let text: String
}

private func handles(of received: ReceivedBytes) throws(EndpointError) -> ReceivedDescriptors {
  let byte = received.bytes.first ?? 0
  guard let descriptors = received.descriptors, !received.lostDescriptors else {
    let found = received.lostDescriptors ? "some that could not be received" : "none"
    throw EndpointError(
      .codec(UnexpectedHandles(text: "expected descriptors with the byte \(byte); found \(found)")))
  }
  guard descriptors.count % 256 == Int(byte) else {
    throw EndpointError(
      .codec(
        UnexpectedHandles(
          text: "expected as many descriptors as the byte \(byte) says; found \(descriptors.count)")))
  }
  return descriptors
}

extension MultiprocessingError {
  fileprivate init(handles error: EndpointError) {
    if case .codec(let error as UnexpectedHandles) = error.reason {
      self.init(.unexpected(error.text))
    } else {
      self.init(.connection(error))
    }
  }
}

extension ReceivedDescriptors {
  fileprivate func takeFirst() throws(MultiprocessingError) -> OwnedDescriptor {
    guard let descriptor = take() else {
      throw MultiprocessingError(.unexpected("expected a descriptor; found none"))
    }
    return descriptor
  }
}
