// A Node child over the channel that Node's own `fork` would give it: `process.send` and
// `process.on('message')` there, typed messages here. On the wire they are lines of JSON, on the descriptor
// that NODE_CHANNEL_FD names.
import Foundation
import SWJSON
import SWMessaging

struct Question: Codable, Sendable {
  var id: Int
  var text: String
}

struct Answer: Codable, Sendable {
  var id: Int
  var words: [String]
}

let script = """
  process.on('message', ({id, text}) => process.send({id, words: text.split(/\\s+/)}));
  process.on('disconnect', () => process.exit(0));
  """

let node = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/node" }
  .first { FileManager.default.isExecutableFile(atPath: $0) }

if let node {
  let child = try await ChildProcess.spawn(
    node, arguments: ["-e", script], environment: .inheriting(adding: ["NODE_CHANNEL_FD": "3"]),
    framing: .lines.json(receiving: Answer.self, sending: Question.self))
  for (id, text) in ["a b c", "one", "grüße,\nwelt"].enumerated() {
    try await child.channel.send(Question(id: id, text: text))
    let answer = try await child.channel.receive(timeout: .seconds(20))
    print("\(id): \(answer.words)")
    precondition(
      answer.id == id && answer.words == text.split(whereSeparator: \.isWhitespace).map(String.init))
  }
  child.channel.finishSending()
  let status = try await child.waitForExit(timeout: .seconds(20))
  print("Node \(status)")
  precondition(status.isSuccess)
} else {
  print("skipped: no node in PATH")
}

// Prints:
//   0: ["a", "b", "c"]
//   1: ["one"]
//   2: ["grüße,", "welt"]
//   Node exited with code 0
