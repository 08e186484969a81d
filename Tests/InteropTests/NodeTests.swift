import Foundation
import SWJSON
import SWMessaging
import SWTesting
import TestSupport
import Testing

enum Node {
  static let path: String? = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    .map { "\($0)/node" }.first { FileManager.default.isExecutableFile(atPath: $0) }
}

/// A Node child over the channel that `child_process.fork` would give it: lines of JSON on the descriptor
/// that NODE_CHANNEL_FD names.
@Suite(.enabled(if: Node.path != nil, "no node in PATH"), .lastResort, .leavesNothing)
struct NodeTests {
  struct Question: Codable, Sendable {
    var id: Int
    var text: String
  }

  struct Answer: Codable, Equatable, Sendable {
    var id: Int
    var text: String
    var length: Int
  }

  static let script = """
    process.on('message', ({id, text}) => process.send({id, text: text.toUpperCase(), length: text.length}));
    process.on('disconnect', () => process.exit(7));
    """

  @Test func `a Node child answers what its parent sends, and is told of the end`() async throws {
    let node = try #require(Node.path)
    let child = limitLife(
      of: try await ChildProcess.spawn(
        node, arguments: ["-e", Self.script], environment: .inheriting(adding: ["NODE_CHANNEL_FD": "3"]),
        framing: .lines.json(receiving: Answer.self, sending: Question.self)),
      named: "node")
    let texts = ["hello", "", "two\nlines", "\u{2028}", String(repeating: "x", count: 200_000)]
    for (id, text) in texts.enumerated() {
      try await child.channel.send(Question(id: id, text: text))
      let answer = try await child.channel.receive()
      #expect(answer == Answer(id: id, text: text.uppercased(), length: text.utf16.count))
    }
    try await TestThread {
      try child.channel.blocking.send(Question(id: 99, text: "blocking"))
      #expect(try child.channel.blocking.receive().text == "BLOCKING")
    }.value
    child.channel.finishSending()
    #expect(try await child.channel.next() == nil)
    #expect(try await child.exitStatus == .exited(7))
  }
}
