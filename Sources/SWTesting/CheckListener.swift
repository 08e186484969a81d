public import SWFraming
internal import SWIO
public import SWMessaging
internal import Synchronization

/// A promise of `Listener` that was broken, as ``checkListener(connections:make:)`` found it.
public struct ListenerViolation: Error, Hashable, Sendable {
  /// A promise of every listener.
  @nonexhaustive
  public enum Law: String, Hashable, Sendable, CaseIterable {
    /// Each connection is accepted exactly once, by a task or a thread, and is connected to its own client.
    case acceptsEachOnce
    /// A call that times out or is cancelled takes no connection.
    case losesNoneToTimeouts
    /// `close` wakes every caller, and no connection is accepted after it.
    case closeWakesEverybody
    /// After `finish` the connections that exist are accepted, and then `accept` throws `closed`.
    case finishLosesNone
    /// `serve` answers requests that were sent before the end, and returns.
    case servesUntilTheEnd
  }

  public var law: Law

  /// The expected and the actual result.
  public var explanation: String
}

extension ListenerViolation: CustomStringConvertible {
  public var description: String { "the listener breaks the law '\(law)': \(explanation)" }
}

/// Checks that a listener, together with a way to connect to it, keeps the promises of `Listener`. It works with every
/// test library: it returns if the promises are kept and throws if one is broken.
///
///     try await checkListener {
///       let listener = try Listener(.abstract(""), framing: .varInt)
///       return (listener, { try await connect(to: listener.address, framing: .varInt) })
///     }
///
/// The check uses several listeners, one after the other, and closes them. The promises are the cases of
/// ``ListenerViolation/Law``.
///
/// - Parameters:
///   - connections: the number of connections to each listener.
///   - make: makes a listener that nothing else uses, and a way to connect to it.
/// - Throws: ``ListenerViolation``, the first one found; or the errors of `make` and of connecting.
public func checkListener<F: ByteFraming>(
  connections: Int = 50,
  make:
    @escaping () async throws -> (
      listener: Listener<MessageDuplex<F>>, connect: @Sendable () async throws -> MessageDuplex<F>
    )
) async throws {
  try await ListenerCheck(count: connections, make: make).check()
}

private struct ListenerCheck<F: ByteFraming> {
  typealias Made = (
    listener: Listener<MessageDuplex<F>>, connect: @Sendable () async throws -> MessageDuplex<F>
  )

  let count: Int
  let make: () async throws -> Made

  func check() async throws {
    try await checkAccepts()
    try await checkTimeouts()
    try await checkClose()
    try await checkFinish()
    try await checkServe()
  }

  private func expect(
    _ law: ListenerViolation.Law, _ condition: Bool, _ explanation: @autoclosure () -> String
  ) throws {
    if !condition { throw ListenerViolation(law: law, explanation: explanation()) }
  }

  /// Tasks and threads accept at the same time, and echo what they receive.
  private func checkAccepts() async throws {
    let (listener, connect) = try await make()
    defer { listener.close() }
    let half = count / 2
    let thread = TestThread {
      for _ in 0..<half {
        let peer = try listener.blocking.accept(timeout: .patience)
        try peer.blocking.send(try peer.blocking.receive(timeout: .patience))
        peer.close()
      }
    }
    let rest = count - half
    let task = Task {
      for _ in 0..<rest {
        let peer = try await listener.accept(timeout: .patience)
        try await peer.send(try await peer.receive(timeout: .patience))
        peer.close()
      }
    }
    let all = count
    let found = try await withThrowingTaskGroup(of: Bool.self) { group in
      for number in 0..<all {
        group.addTask {
          let client = try await connect()
          defer { client.close() }
          let question = Array("\(number)".utf8)
          try await client.send(question)
          return try await client.receive(timeout: .patience) == question
        }
      }
      return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    try await thread.value
    try await task.value
    try expect(.acceptsEachOnce, found == count, "\(found) of \(count) clients had their own answer")
    let more = try? await listener.accept(timeout: .zero)
    try expect(.acceptsEachOnce, more == nil, "a connection that nobody made")
  }

  private func checkTimeouts() async throws {
    let (listener, connect) = try await make()
    defer { listener.close() }
    var clients: [MessageDuplex<F>] = []
    defer { for client in clients { client.close() } }
    var accepted = 0
    for index in 0..<count {
      // Takes the connections that earlier calls have left, so the next call has to wait.
      while let peer = try? await listener.accept(timeout: .zero) {
        accepted += 1
        peer.close()
      }
      let waiting = Task { try await listener.accept(timeout: index % 3 == 0 ? .microseconds(50) : nil) }
      if index % 3 == 1 { await eventually { listener.snapshot.waitingAcceptors > 0 } }
      clients.append(try await connect())
      waiting.cancel()
      if let peer = try? await waiting.value {
        accepted += 1
        peer.close()
      }
    }
    while let peer = try? await listener.accept(timeout: accepted < count ? .patience : .zero) {
      accepted += 1
      peer.close()
    }
    try expect(.losesNoneToTimeouts, accepted == count, "\(accepted) of \(count) connections were accepted")
  }

  private func checkClose() async throws {
    let (listener, _) = try await make()
    let tasks = (0..<4).map { _ in Task { try await listener.accept() } }
    let threads = (0..<4).map { _ in TestThread { try listener.blocking.accept() } }
    await eventually { listener.snapshot.waitingAcceptors == 8 }
    listener.close()
    for task in tasks { try expectClosed(.closeWakesEverybody, await task.result) }
    for thread in threads { try expectClosed(.closeWakesEverybody, await result(of: thread)) }
    try expectClosed(.closeWakesEverybody, await Task { try await listener.accept(timeout: .zero) }.result)
  }

  private func result<Value>(of thread: TestThread<Value>) async -> Result<Value, any Error> {
    do { return .success(try await thread.value) } catch { return .failure(error) }
  }

  private func expectClosed<Value>(_ law: ListenerViolation.Law, _ result: Result<Value, any Error>) throws {
    if case .failure(let error) = result, (error as? EndpointError)?.reason == .closed { return }
    throw ListenerViolation(law: law, explanation: "a call ended with \(result), not with 'closed'")
  }

  private func checkFinish() async throws {
    let (listener, connect) = try await make()
    defer { listener.close() }
    var clients: [MessageDuplex<F>] = []
    defer { for client in clients { client.close() } }
    for _ in 0..<count { clients.append(try await connect()) }
    listener.finish()
    var accepted = 0
    for try await peer in listener.connections {
      accepted += 1
      peer.close()
    }
    try expect(.finishLosesNone, accepted == count, "\(accepted) of \(count) connections were accepted")
    try expectClosed(.finishLosesNone, await Task { try await listener.accept() }.result)
  }

  private func checkServe() async throws {
    let (listener, connect) = try await make()
    let serving = Task {
      try await listener.serve { peer in
        for try await message in peer.messages { try await peer.send(message) }
      }
    }
    var answered = 0
    for number in 0..<count {
      let client = try await connect()
      defer { client.close() }
      let question = Array("\(number)".utf8)
      try await client.send(question)
      // The last request is sent before the listener finishes, and answered after that.
      if number == count - 1 { listener.finish() }
      if try await client.next(timeout: .patience) == question { answered += 1 }
    }
    try await serving.value
    try expect(.servesUntilTheEnd, answered == count, "\(answered) of \(count) questions were answered")
    try expect(.servesUntilTheEnd, listener.isClosed, "it is still open")
  }
}
