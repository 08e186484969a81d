internal import SWFraming
internal import SWIO
internal import SWMessaging
internal import SWPickle
internal import Synchronization
internal import SystemPackage

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// The connections of a client to a manager's server. A connection serves one call at a time; idle ones are kept.
final class ManagerLinks: Sendable {
  typealias Link = MessageDuplex<MultiprocessingFraming>

  private struct State: Sendable {
    var idle: [Link] = []
    var isClosed = false
    /// The numbers of objects whose references dropped proxies held, while a task gives them back.
    var dropped: [String]?
  }

  private let address: Address
  private let authentication: Authentication
  private let framing: MultiprocessingFraming
  private let maximumFrameSize: Int
  private let mostIdle: Int
  private let state = Guarded(State())

  init(_ address: Address, _ authentication: Authentication, _ options: ManagerClient.Options) {
    self.address = address
    self.authentication = authentication
    framing = .multiprocessing(
      registry: options.decoder.registry, limits: options.decoder.limits, version: options.encoder.version)
    maximumFrameSize = options.maximumFrameSize
    mostIdle = options.idleConnections
  }

  func close() {
    let idle = state.withLock { state in
      defer { (state.idle, state.isClosed) = ([], true) }
      return state.idle
    }
    for link in idle { link.close() }
  }

  // MARK: Calls of the server's own functions, each on a connection of its own

  func call(
    _ request: ManagerRequest, _ deadline: Deadline
  ) async throws(MultiprocessingError) -> ManagerAnswer {
    let link = try await connect(deadline)
    defer { link.close() }
    return try answer(in: await exchange(request, on: link, deadline).result.get())
  }

  func callBlocking(
    _ request: ManagerRequest, _ deadline: Deadline
  ) throws(MultiprocessingError) -> ManagerAnswer {
    let link = try connectBlocking(deadline)
    defer { link.close() }
    return try answer(in: exchangeBlocking(request, on: link, deadline).result.get())
  }

  // MARK: References of dropped proxies

  /// Gives a reference back in the background. One task gives back all of them, over one connection at a time. So a program
  /// that drops many proxies at once does not fill its table of descriptors, or the server's.
  func giveBack(_ id: String) {
    let isFirst = state.withLock { state in
      let isFirst = state.dropped == nil
      if isFirst { state.dropped = [] }
      state.dropped?.append(id)
      return isFirst
    }
    if isFirst { Task.detached { await self.giveBackDropped() } }
  }

  private func giveBackDropped() async {
    while let ids = takeDropped() {
      for id in ids {
        let deadline = Deadline.after(.seconds(10))
        // The client may be closed by now: often it is dropped with its last proxy.
        guard let link = try? await connect(deadline, whenClosed: true) else { continue }
        _ = await exchange(.decrement(id), on: link, deadline)
        link.close()
      }
    }
  }

  /// Returns nil, and ends the task, if there is nothing to give back.
  private func takeDropped() -> [String]? {
    state.withLock { state in
      let ids = state.dropped ?? []
      state.dropped = ids.isEmpty ? nil : []
      return ids.isEmpty ? nil : ids
    }
  }

  // MARK: Calls of methods

  func callMethod(
    _ request: ManagerRequest, _ deadline: Deadline
  ) async throws(MultiprocessingError) -> ManagerAnswer {
    let link: Link
    if let idle = takeIdle() {
      link = idle
    } else {
      link = try await connect(deadline)
      try check(acceptance: await exchange(Self.acceptance, on: link, deadline), of: link)
    }
    let exchange = await exchange(request, on: link, deadline)
    if exchange.isClean { keep(link) } else { link.close() }
    return try answer(in: exchange.result.get())
  }

  func callMethodBlocking(
    _ request: ManagerRequest, _ deadline: Deadline
  ) throws(MultiprocessingError) -> ManagerAnswer {
    let link: Link
    if let idle = takeIdle() {
      link = idle
    } else {
      link = try connectBlocking(deadline)
      try check(acceptance: exchangeBlocking(Self.acceptance, on: link, deadline), of: link)
    }
    let exchange = exchangeBlocking(request, on: link, deadline)
    if exchange.isClean { keep(link) } else { link.close() }
    return try answer(in: exchange.result.get())
  }

  /// The request to accept a connection. Its name appears in the server's logs.
  private static var acceptance: ManagerRequest {
    ManagerRequest(name: "accept_connection", arguments: [PickleValue("swift-\(getpid())")])
  }

  // MARK: Steps

  /// The result of an exchange of a request and its answer.
  private struct Exchange: Sendable {
    var result: Result<PickleValue, MultiprocessingError>
    /// Whether the connection can serve another call, because nothing is under way on it.
    var isClean: Bool
  }

  private func answer(in value: PickleValue) throws(MultiprocessingError) -> ManagerAnswer {
    do throws(MultiprocessingError) {
      return try ManagerAnswer(value)
    } catch {
      throw failure(error.reason)
    }
  }

  /// - Throws: if the server does not take requests on the connection, which is closed then.
  private func check(acceptance: Exchange, of link: Link) throws(MultiprocessingError) {
    do throws(MultiprocessingError) {
      _ = try answer(in: acceptance.result.get())
    } catch {
      link.close()
      throw error
    }
  }

  private func exchange(_ request: ManagerRequest, on link: Link, _ deadline: Deadline) async -> Exchange {
    do throws(EndpointError) {
      try await link.send(request.value, until: deadline)
    } catch {
      return sendingFailed(error)
    }
    do throws(EndpointError) {
      return Exchange(result: .success(try await link.receive(until: deadline)), isClean: true)
    } catch {
      return receivingFailed(error)
    }
  }

  private func exchangeBlocking(_ request: ManagerRequest, on link: Link, _ deadline: Deadline) -> Exchange {
    do throws(EndpointError) {
      try link.blocking.send(request.value, until: deadline)
    } catch {
      return sendingFailed(error)
    }
    do throws(EndpointError) {
      return Exchange(result: .success(try link.blocking.receive(until: deadline)), isClean: true)
    } catch {
      return receivingFailed(error)
    }
  }

  private func sendingFailed(_ error: EndpointError) -> Exchange {
    switch error.reason {
    case .codec(let cause): Exchange(result: .failure(failure(.encoding(cause))), isClean: true)
    case .framing(let cause): Exchange(result: .failure(failure(.encoding(cause))), isClean: true)
    default: Exchange(result: .failure(failure(.connection(error))), isClean: false)
    }
  }

  private func receivingFailed(_ error: EndpointError) -> Exchange {
    switch error.reason {
    case .codec(let cause): Exchange(result: .failure(failure(.decoding(cause))), isClean: true)
    default: Exchange(result: .failure(failure(.connection(error))), isClean: false)
    }
  }

  private func failure(_ reason: MultiprocessingError.Reason) -> MultiprocessingError {
    MultiprocessingError(reason, address: address)
  }

  // MARK: Connections

  private func connect(
    _ deadline: Deadline, whenClosed: Bool = false
  ) async throws(MultiprocessingError) -> Link {
    if !whenClosed { try checkOpen() }
    return try await Connector(to: address).connect(
      framing: framing, authentication: authentication, maximumFrameSize: maximumFrameSize, until: deadline)
  }

  private func connectBlocking(_ deadline: Deadline) throws(MultiprocessingError) -> Link {
    try checkOpen()
    let link: Link
    do throws(EndpointError) {
      link = try Connector(to: address).blocking.connect(
        framing: framing, maximumFrameSize: maximumFrameSize, until: deadline)
    } catch {
      throw failure(.connection(error))
    }
    try link.blocking.authenticate(as: .client, with: authentication, address: address, until: deadline)
    return link
  }

  private func checkOpen() throws(MultiprocessingError) {
    if state.withLock({ $0.isClosed }) { throw failure(.connection(EndpointError(.closed))) }
  }

  /// The idle connection that was used last, unless the server has ended it.
  private func takeIdle() -> Link? {
    while let link = state.withLock({ $0.idle.popLast() }) {
      if link.isQuiet { return link }
      link.close()
    }
    return nil
  }

  private func keep(_ link: Link) {
    let surplus: Link? = state.withLock { state in
      if state.isClosed || state.idle.count >= mostIdle { return link }
      state.idle.append(link)
      return nil
    }
    surplus?.close()
  }
}

extension MessageDuplex {
  /// Whether nothing has arrived, not even the end of the stream. Does not wait. No other caller may receive meanwhile.
  fileprivate var isQuiet: Bool {
    let result = try? withDescriptor { descriptor in
      var byte: UInt8 = 0
      return unsafe recv(descriptor.rawValue, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) < 0
        && (errno == EAGAIN || errno == EWOULDBLOCK)
    }
    return result ?? false
  }
}
