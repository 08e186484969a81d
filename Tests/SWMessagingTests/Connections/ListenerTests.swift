import Foundation
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing)
struct ListenerTests {
  @Test(arguments: ListenPlace.allCases)
  func `a client connects, and messages go both ways`(place: ListenPlace) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try place.listener(directory)
    let client = try await connect(to: listener.address, framing: .varInt, kind: place.kind)
    let server = try await listener.accept()
    try await client.send("there")
    #expect(try await server.receive() == Array("there".utf8))
    try await server.send("back")
    #expect(try await client.receive() == Array("back".utf8))
    client.close()
    await #expect(throws: EndpointError.self) { try await server.receive() }
    listener.close()
    #expect(listener.isClosed)
    #expect(directory.names.filter { $0.hasPrefix("s") || $0.hasPrefix(".") }.isEmpty)
  }

  @Test(arguments: ListenPlace.allCases)
  func `threads connect and accept`(place: ListenPlace) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try place.listener(directory)
    let server = TestThread { () throws in
      let peer = try listener.blocking.accept()
      let message = try peer.blocking.receive()
      try peer.blocking.send(message)
    }
    let answer = try await TestThread { () throws -> [UInt8] in
      let peer = try Connector(to: listener.address, kind: place.kind).blocking.connect(framing: .varInt)
      try peer.blocking.send("there and back")
      return try peer.blocking.receive()
    }.value
    #expect(answer == Array("there and back".utf8))
    try await server.value
    listener.close()
  }

  @Test func `without a framing there are raw endpoints`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try Listener(.unix(directory("s")))
    let client = try await connect(to: .unix(directory("s")))
    let server = try await listener.accept()
    _ = try await client.send(Array("abc".utf8))
    #expect(try await server.receive(exactly: 3) == Array("abc".utf8))
    client.close()
    server.close()
    listener.close()
  }

  @Test func `close wakes every accept, of threads and of tasks`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let threads = (0..<4).map { _ in
      TestThread { () throws -> EndpointError.Reason? in
        blockingError { try listener.blocking.accept() }?.reason
      }
    }
    let tasks = (0..<4).map { _ in Task { await endpointError { try await listener.accept() } } }
    let loop = Task {
      var count = 0
      for try await _ in listener.connections { count += 1 }
      return count
    }
    await eventually { listener.waiting == 9 }
    listener.close()
    for thread in threads { #expect(try await thread.value == .closed) }
    for task in tasks {
      let error = await task.value
      #expect(error?.reason == .closed && error?.subject == .service(.unix(directory("s"))))
      #expect(error?.description == "the listener at unix:\(directory("s")) is closed")
    }
    #expect(try await loop.value == 0)
    #expect(await endpointError { try await listener.accept() }?.reason == .closed)
  }

  @Test func `an accept that times out or is cancelled loses nothing`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    #expect(await endpointError { try await listener.accept(timeout: .zero) }?.reason == .timedOut)
    #expect(await endpointError { try await listener.accept(timeout: .milliseconds(1)) }?.reason == .timedOut)
    let task = Task { await endpointError { try await listener.accept() } }
    await eventually { listener.waiting == 1 }
    task.cancel()
    #expect(await task.value?.reason == .cancelled)
    let client = try await connect(to: listener.address, framing: .varInt)
    let server = try await listener.accept(timeout: .zero)
    try await client.send("x")
    #expect(try await server.receive() == [120])
    listener.close()
  }
}
