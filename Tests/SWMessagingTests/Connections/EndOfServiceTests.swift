import CSysShim
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// The end of a service while clients come and handlers do not go.
@Suite(.lastResort, .leavesNothing) struct EndOfServiceTests {
  private static let places: [ListenPlace] = [.unix, .abstract, .tcp, .packets]

  @Test(arguments: places)
  func `clients that come while others are drained are refused at once`(_ place: ListenPlace) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try place.listener(directory)
    let (log, gate) = (EventLog(), Gate())
    let serving = Task {
      try await listener.serve(draining: .patience, observing: log.note) { peer in
        try await peer.send("here")
        await gate.wait()
        try await ServeTests.echo(peer)
      }
    }
    let client = try await connect(to: listener.address, framing: .varInt, kind: place.kind)
    #expect(try await client.receive() == Array("here".utf8))
    listener.finish()
    // Connections over TCP that were made before are taken over first.
    if !place.isUnix { await eventually { listener.isClosed } }
    for _ in 0..<10 {
      let error = await endpointError {
        try await connect(to: listener.address, framing: .varInt, kind: place.kind)
      }
      let errno = error?.failure?.errno
      #expect(errno == .connectionRefused || errno == .noSuchFileOrDirectory, "\(String(describing: error))")
    }
    #expect(log.closed == 0, "the one that is drained goes on")
    // The message has arrived when the handler asks, so it is answered.
    try await client.send("last")
    gate.open()
    #expect(try await client.receive() == Array("last".utf8))
    #expect(try await client.next() == nil)
    try await serving.value
    client.close()
    #expect(log.accepted == 1 && log.closed == 1)
    #expect(log.count { if case .draining(1) = $0 { true } else { false } } == 1)
  }

  @Test func `a handler that does not heed its cancellation loses its connection`() async throws {
    let listener = try Listener(.abstract(""), framing: .varInt)
    let log = EventLog()
    let serving = Task {
      try await listener.serve(draining: .milliseconds(20), observing: log.note) { peer in
        // This task is not cancelled with its parent. The peer takes nothing.
        let stubborn = Task { while true { try await peer.send([UInt8](repeating: 0, count: 100_000)) } }
        try await stubborn.value
      }
    }
    let client = try await connect(to: listener.address, framing: .varInt)
    await eventually { listener.snapshot.connections.first?.endpoint.waitingSenders == 1 }
    listener.finish()
    try await serving.value
    #expect(log.cancelling == 1 && log.failed == 1)
    let isClosed = { (event: ListenerEvent) in
      if case .closed(_, let error, _) = event { (error as? EndpointError)?.reason == .closed } else { false }
    }
    #expect(log.count(isClosed) == 1)
    client.close()
  }

  /// If many closes are stuck, a further one begins a moment later. A peer that finds the connection open then could send to
  /// nobody.
  @Test func `a service does not end before its peers are told, however many closes take long`() async {
    await #expect(processExitsWith: .success) {
      func passLingering(over peer: SocketDuplex) async throws {
        let lingering = try makeLingeringConnection(seconds: 600)
        let passed = lingering.first.release()
        _ = lingering.second.release()
        try await peer.send([1], passing: [passed])
        try passed.close()
      }
      for _ in 0..<130 {
        let (peer, victim) = try makeSocketPair()
        try await passLingering(over: peer)
        victim.close()
        await eventually { !CloserThread.mayHaveUntoldPeers }
      }
      let listener = try Listener(.abstract(""), framing: .varInt)
      let client = try await connect(to: listener.address)
      try await passLingering(over: client)
      let (peer, victim) = try makeSocketPair()
      try await passLingering(over: peer)
      try await listener.serve { _ in
        // The close of the connection comes so soon after this one that it has to wait.
        victim.close()
        listener.finish()
      }
      let isTold = try client.withDescriptor { swsys_is_hung_up($0.rawValue, 0) }
      #expect(isTold)
    }
  }

  /// A greeting that ignores its deadline: it waits for ever, or swallows its error.
  @Test(arguments: [false, true])
  func `a thread's greeting ends at its deadline, and the thread serves others`(_ swallows: Bool) async throws
  {
    let listener = try Listener(.abstract(""), framing: .varInt)
    let log = EventLog()
    let serving = TestThread {
      try listener.blocking.serve(
        threads: 1, greetingTimeout: .milliseconds(50), observing: log.note,
        greeting: { peer, _ in
          do { _ = try peer.blocking.receive() } catch { if !swallows { throw error } }
        },
        { peer in while let message = try peer.blocking.next() { try peer.blocking.send(message) } })
    }
    let silent = try await connect(to: listener.address, framing: .varInt)
    #expect(try await silent.next() == nil)
    silent.close()
    let isLate = { (event: ListenerEvent) in
      if case .greetingFailed(_, let error) = event {
        (error as? EndpointError)?.reason == .timedOut
      } else {
        false
      }
    }
    await eventually { log.count(isLate) == 1 }
    // The deadline of this client's own greeting is as short, so it may have to try again.
    while true {
      let client = try await connect(to: listener.address, framing: .varInt)
      defer { client.close() }
      do throws(EndpointError) {
        try await client.send("greeting")
        try await client.send("hello")
        if try await client.next() == Array("hello".utf8) { break }
      } catch { continue }
    }
    listener.finish()
    try await serving.value
  }

  @Test(arguments: places)
  func `a service that is cancelled while clients come answers each of them or ends its connection`(
    _ place: ListenPlace
  ) async throws {
    for _ in 0..<stressed(50) {
      let directory = try TestDirectory()
      defer { directory.remove() }
      let listener = try place.listener(directory)
      let serving = Task { try await listener.serve(limit: 3, ServeTests.echo) }
      let clients = (0..<4).map { number in
        Task {
          var answers = 0
          while true {
            do throws(EndpointError) {
              let client = try await connect(to: listener.address, framing: .varInt, kind: place.kind)
              defer { client.close() }
              try await client.send("\(number)")
              guard let answer = try await client.next() else { return answers }
              #expect(answer == Array("\(number)".utf8))
              answers += 1
            } catch {
              guard let errno = error.failure?.errno else {
                Issue.record("\(error)")
                return answers
              }
              let expected: [Errno] = [
                .connectionRefused, .noSuchFileOrDirectory, .connectionReset, .brokenPipe,
              ]
              #expect(expected.contains(errno), "\(error)")
              return answers
            }
          }
        }
      }
      for _ in 0..<Int.random(in: 0...200) { await Task.yield() }
      serving.cancel()
      try await serving.value
      for client in clients { _ = await client.value }
      #expect(listener.isClosed && listener.snapshot.connections.isEmpty)
    }
  }

  @Test func `ten thousand connections are accepted, used and closed`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let log = EventLog()
    let serving = Task { try await listener.serve(observing: log.note, ServeTests.echo) }
    let (total, clients) = (stressed(10_000), 8)
    try await withThrowingTaskGroup { group in
      for number in 0..<clients {
        group.addTask {
          for index in stride(from: number, to: total, by: clients) {
            let client = try await connect(to: listener.address, framing: .varInt)
            try await client.send("\(index)")
            #expect(try await client.receive() == Array("\(index)".utf8))
            client.close()
          }
        }
      }
      try await group.waitForAll()
    }
    listener.finish()
    try await serving.value
    #expect(log.accepted == total && log.closed == total && log.failed == 0)
  }
}
