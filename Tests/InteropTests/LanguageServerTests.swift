import Foundation
import SWJSON
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// The beginning and the end of a conversation with a language server, in Python.
@Suite(
  .enabled(if: !StandardPython.all.isEmpty, Comment(rawValue: StandardPython.missing)),
  .lastResort, .leavesNothing)
struct LanguageServerTests {
  struct Outgoing: Codable, Sendable {
    var jsonrpc = "2.0"
    var id: Int?
    var method: String
    var params: [String: String]?
  }

  struct Incoming: Codable, Sendable {
    struct Result: Codable, Sendable {
      var capabilities: [String: Bool]
      var serverInfo: [String: String]
    }
    var id: Int?
    var method: String?
    var params: [String: String]?
    var result: Result?
  }

  @Test(arguments: ["plain", "typed", "sloppy"])
  func `a server is initialized, notifies, and shuts down`(_ style: String) async throws {
    let python = try #require(StandardPython.all.first)
    let server = try await PythonPeer.spawn(
      python.path, "language_server.py", ["--style", style], at: .standardStreams,
      framing: .contentLength.json(receiving: Incoming.self, sending: Outgoing.self))
    try await server.channel.send(Outgoing(id: 1, method: "initialize", params: ["rootUri": "file:///tmp"]))
    let note = try await server.channel.receive()
    #expect(note.method == "window/logMessage")
    #expect(note.params == ["message": "grüße"])
    let answer = try await server.channel.receive()
    #expect(answer.id == 1)
    #expect(answer.result?.capabilities == ["hoverProvider": true])
    #expect(answer.result?.serverInfo == ["name": "mini"])

    try await TestThread {
      try server.channel.blocking.send(Outgoing(id: 2, method: "shutdown"))
      let answer = try server.channel.blocking.receive()
      #expect(answer.id == 2 && answer.result == nil)
      try server.channel.blocking.send(Outgoing(method: "exit"))
      #expect(try server.channel.blocking.next() == nil)
      #expect(try server.blocking.waitForExit() == .exited(0))
    }.value
  }
}
