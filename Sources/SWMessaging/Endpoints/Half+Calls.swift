internal import SWIO
internal import Synchronization

// How endpoints begin and end their calls at the halves.

extension Half {
  /// Called before an async call enters: whether the caller's task is cancelled, so the call takes nothing. A task that
  /// makes many calls without a wait yields here.
  @inlinable @inline(__always)
  func isCancelledAtBegin() async -> Bool {
    if shouldYield() { await Task.yield() }
    return Task.isCancelled
  }
}

extension [Half] {
  /// Runs `body` with the first half that is open, and keeps the transport open meanwhile.
  func withFirstOpen<Result>(_ body: (Half) throws -> Result) throws -> Result {
    for half in self {
      if let result = try half.ifOpen({ try body(half) }) { return result }
    }
    throw EndpointError(.closed)
  }

  /// Lends the descriptor of the first half that is open.
  func withDescriptor<Result>(_ body: (Int32) throws -> Result) throws -> Result {
    try withFirstOpen { half in
      guard let number = half.port.number else { throw EndpointError(.closed) }
      return try body(number)
    }
  }
}

extension Half {
  /// Keeps a user's transport open while `body` runs.
  func withOwnTransport(_ body: () throws(TransportError) -> Void) throws(EndpointError) {
    do {
      try withTransport { try body() }
    } catch let error as TransportError {
      throw EndpointError(.transport(error))
    } catch {
      throw EndpointError(.closed)
    }
  }
}

extension SendHalf {
  /// Runs an async call. Every async send uses this.
  ///
  /// - Parameter start: begins the call, with bytes that are lent until it returns.
  @inlinable @inline(__always)
  func run(_ start: (SendHalf) throws(EndpointError) -> Started) async throws(EndpointError) {
    if await isCancelledAtBegin() { throw EndpointError(.cancelled) }
    if let error = await finish(try start(self)) { throw error }
  }

  /// Waits for the end of an async call.
  @inlinable
  func finish(_ started: Started) async -> EndpointError? {
    switch started {
    case .ended(let error): return error
    case .queued(let place):
      await runTask(place)
      return place.error
    }
  }

  /// Waits for the end of a blocking call, before the caller's bytes are released. Every blocking send uses this.
  @inlinable @inline(__always)
  func finishBlocking(_ started: Started) -> EndpointError? {
    switch started {
    case .ended(let error): return error
    case .queued(let place): return wait(place)
    }
  }

  @usableFromInline
  func wait(_ place: SendPlace) -> EndpointError? {
    runThread(place)
    return place.error
  }
}

extension ReceiveHalf {
  /// Begins a call on the long way.
  ///
  /// - Parameter front: how far the short way has come.
  @usableFromInline
  func start(_ request: ReceiveRequest, as kind: Place.Kind, _ limit: CallLimit, after front: Front)
    -> Started
  {
    start(request, as: kind, until: limit.deadline, after: front)
  }

  /// The error of a call whose task was cancelled before it began.
  @usableFromInline
  var cancelled: EndpointError {
    EndpointError(.cancelled, byteCount: heldBytes.load(ordering: .relaxed))
  }

  /// Makes an async call on the long way alone.
  func receive(_ request: ReceiveRequest, _ limit: CallLimit) async -> Outcome {
    if await isCancelledAtBegin() { return .failed(cancelled) }
    switch start(request, as: .task, limit, after: .unseen) {
    case .ended(let outcome): return outcome
    case .queued(let place):
      await runTask(place)
      return outcome(of: place)
    }
  }

  /// Makes a blocking call on the long way, from where the short way has come.
  @usableFromInline
  func receiveBlocking(_ request: ReceiveRequest, _ limit: CallLimit, after front: Front = .unseen) -> Outcome
  {
    switch start(request, as: .thread, limit, after: front) {
    case .ended(let outcome): return outcome
    case .queued(let place):
      runThread(place)
      return outcome(of: place)
    }
  }
}
