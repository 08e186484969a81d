internal import SWFraming
public import SWIO
public import SWMessaging
internal import SystemPackage

extension Endpoint where Self: ReceivingEndpoint, Self: SendingEndpoint {
  /// Carries out Python's `multiprocessing` handshake on a connection on which nothing has been sent or received.
  ///
  /// `Listener` and `connect(to:framing:)`
  /// have forms with `authentication:`, which call this. It is for connections that were made otherwise. Messages
  /// behind the handshake stay for the next receive, and their descriptors, too.
  ///
  /// - Parameters:
  ///   - role: this side's role.
  ///   - authentication: the key and the rules.
  ///   - address: the address that errors name.
  ///   - timeout: how long to wait at most; ``Authentication/timeLimit`` holds as well.
  ///   - deadline: until when to wait at most.
  /// - Throws: ``MultiprocessingError``, and the endpoint is closed then: `authentication`, or `connection` if the call
  ///   was cancelled, the endpoint closed, or the transport failed.
  public func authenticate(
    as role: AuthenticationRole, with authentication: Authentication, address: Address? = nil,
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) {
    let exchange = HandshakeExchange(core, Handshake(as: role, with: authentication), address)
    let deadline = exchange.deadline(timeout, deadline, authentication)
    var handshake = exchange.handshake
    var received: [UInt8]?
    while true {
      let action = handshake.next(received)
      received = nil
      do throws(EndpointError) {
        switch action {
        case .send(let message): try await exchange.channel.send(message, until: deadline)
        case .receive: received = try await exchange.channel.receive(until: deadline)
        case .done: return
        case .fail(let cause, let message):
          // The peer is told if that is possible at once.
          if let message { try? await exchange.channel.send(message, timeout: .zero) }
          throw exchange.failure(cause)
        }
      } catch {
        throw exchange.failure(error, in: handshake)
      }
    }
  }
}

extension Blocking where E: ReceivingEndpoint, E: SendingEndpoint {
  /// Blocking form of `Endpoint.authenticate(as:with:address:timeout:until:)`.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func authenticate(
    as role: AuthenticationRole, with authentication: Authentication, address: Address? = nil,
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) {
    let exchange = HandshakeExchange(endpoint.core, Handshake(as: role, with: authentication), address)
    let deadline = exchange.deadline(timeout, deadline, authentication)
    var handshake = exchange.handshake
    var received: [UInt8]?
    while true {
      let action = handshake.next(received)
      received = nil
      do throws(EndpointError) {
        switch action {
        case .send(let message): try exchange.channel.blocking.send(message, until: deadline)
        case .receive: received = try exchange.channel.blocking.receive(until: deadline)
        case .done: return
        case .fail(let cause, let message):
          if let message { try? exchange.channel.blocking.send(message, timeout: .zero) }
          throw exchange.failure(cause)
        }
      } catch {
        throw exchange.failure(error, in: handshake)
      }
    }
  }
}

/// The part that the blocking and the async handshake share.
private struct HandshakeExchange {
  /// The channel never reads beyond a message, because the next message may come with descriptors.
  let channel: MessageDuplex<HandshakeFraming>
  let handshake: Handshake
  private let address: Address?

  init(_ core: EndpointCore, _ handshake: Handshake, _ address: Address?) {
    channel = MessageDuplex(core: core, framing: HandshakeFraming(), mode: .exact)
    self.handshake = handshake
    self.address = address
  }

  func deadline(_ timeout: Duration?, _ deadline: Deadline, _ authentication: Authentication) -> Deadline {
    min(CallLimit(timeout, deadline).deadline, .after(authentication.timeLimit))
  }

  /// An error that stands for a cause on its way out of the exchange.
  func failure(_ cause: AuthenticationFailure.Cause) -> EndpointError {
    EndpointError(.codec(AuthenticationFailure(cause, as: handshake.role)))
  }

  func failure(_ error: EndpointError, in handshake: Handshake) -> MultiprocessingError {
    channel.close()
    let cause: AuthenticationFailure.Cause
    switch error.reason {
    case .timedOut: cause = handshake.silence
    case .endOfStream, .truncated: cause = .ended
    case .framing(let error): cause = .malformed("expected a message of the handshake; found \(error)")
    case .codec(let error as AuthenticationFailure): cause = error.cause
    case .transport(let error) where error.errno == .brokenPipe || error.errno == .connectionReset:
      cause = .ended
    default: return MultiprocessingError(.connection(error), address: address)
    }
    return MultiprocessingError(
      .authentication(AuthenticationFailure(cause, as: handshake.role)), address: address)
  }
}
