import SWJSON
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// The cookbook's passages about clients.
@Suite(.lastResort, .leavesNothing) struct ClientRecipeTests {
  typealias LineListener = Listener<MessageDuplex<LineFraming>>

  // begin BrokenConnection
  /// Asks a question that may be asked twice.
  func ask(
    _ question: String, of client: ReconnectingClient<LineFraming>,
    until deadline: Deadline
  ) async throws -> [UInt8] {
    while true {
      let peer = try await client.connection(until: deadline)
      do throws(EndpointError) {
        try await peer.send(question, until: deadline)
        return try await peer.receive(until: deadline)
      } catch {
        peer.close()  // the next call of `connection` makes another
        switch error.reason {
        case .endOfStream, .truncated, .transport: continue
        default: throw error
        }
      }
    }
  }
  // end BrokenConnection

  @Test func `a question is asked again over the next connection`() async throws {
    let listener = try LineListener(unusedAddress(), framing: .lines)
    let service = Task {
      // The first connection breaks when the question has come.
      let broken = try await listener.accept(timeout: .patience)
      #expect(text(try await broken.receive(timeout: .patience)) == "question")
      broken.close()
      let peer = try await listener.accept(timeout: .patience)
      #expect(text(try await peer.receive(timeout: .patience)) == "question")
      try await peer.send("answer")
      listener.close()
    }
    let client = ReconnectingClient(Connector(to: listener.address), framing: .lines)
    let answer = try await ask("question", of: client, until: .after(.patience))
    #expect(text(answer) == "answer")
    try await service.value
    client.close()
  }

  // begin LateAnswer
  func call(
    _ peer: MessageDuplex<LineFraming>, _ request: String, timeout: Duration
  ) async throws -> [UInt8] {
    let deadline = Deadline.after(timeout)
    do {
      try await peer.send(request, until: deadline)
      return try await peer.receive(until: deadline)
    } catch {
      peer.close()  // or a late answer would be taken for the next request's
      throw error
    }
  }
  // end LateAnswer

  @Test func `a call that timed out does not leave its answer to the next call`() async throws {
    let (peer, server) = try makeSocketPair(framing: .lines)
    let service = Task {
      let request = try await server.receive(timeout: .patience)
      try await server.send(request)
    }
    #expect(text(try await call(peer, "one", timeout: .patience)) == "one")
    try await service.value
    await #expect {
      try await call(peer, "two", timeout: .milliseconds(1))
    } throws: { error in
      (error as? EndpointError)?.reason == .timedOut
    }
    #expect(peer.isClosed)
  }

  // begin ManyRequests
  struct Request: Codable, Sendable {
    var id: Int
    var text: String
  }

  struct Reply: Codable, Sendable {
    var id: Int
    var text: String
  }

  actor Requests {
    private let peer: MessageDuplex<JSONFraming<LineFraming, Reply, Request>>
    private var waiting: [Int: CheckedContinuation<Reply, any Error>] = [:]
    private var lastID = 0
    private var failure: (any Error)?

    init(_ peer: MessageDuplex<JSONFraming<LineFraming, Reply, Request>>) {
      self.peer = peer
    }

    func call(_ text: String) async throws -> Reply {
      if let failure { throw failure }
      lastID += 1
      let request = Request(id: lastID, text: text)
      return try await withCheckedThrowingContinuation { continuation in
        waiting[request.id] = continuation
        Task {
          do {
            try await peer.send(request)
          } catch {
            end(request.id, with: .failure(error))
          }
        }
      }
    }

    /// Receives the replies. Runs for as long as the connection lives.
    func run() async {
      do {
        for try await reply in peer.messages {
          end(reply.id, with: .success(reply))
        }
        failure = EndpointError(.endOfStream)
      } catch {
        failure = error
      }
      for id in waiting.keys {
        end(id, with: .failure(failure ?? EndpointError(.endOfStream)))
      }
    }

    private func end(_ id: Int, with result: Result<Reply, any Error>) {
      waiting.removeValue(forKey: id)?.resume(with: result)
    }
  }
  // end ManyRequests

  @Test func `many requests are in flight at once, and each gets its own reply`() async throws {
    let framing = LineFraming.lines.json(receiving: Reply.self, sending: Request.self)
    let (peer, server) = try makeSocketPair(framing: framing, peer: framing.flipped)
    let requests = Requests(peer)
    let running = Task { await requests.run() }
    let answering = Task {
      // Answered in the opposite order, when all have come.
      var open: [Request] = []
      while open.count < 20 { open.append(try await server.receive(timeout: .patience)) }
      for request in open.reversed() { try await server.send(Reply(id: request.id, text: request.text)) }
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<20 {
        group.addTask {
          let reply = try await requests.call("number \(index)")
          #expect(reply.text == "number \(index)")
        }
      }
      try await group.waitForAll()
    }
    try await answering.value

    // The end of the connection ends the calls that wait, and those that come.
    let last = Task { try await requests.call("last") }
    _ = try await server.receive(timeout: .patience)
    server.close()
    await running.value
    await #expect(throws: EndpointError.self) { try await last.value }
    await #expect(throws: EndpointError.self) { try await requests.call("too late") }
  }
}
