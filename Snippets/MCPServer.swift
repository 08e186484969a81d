// A server of JSON-RPC, one message on each line, as MCP over standard streams has it: requests are answered at the same time,
// ids may be numbers or texts, and lines that are no requests get the protocol's errors.
//
// A program that is started by its client makes the endpoint of its own standard streams:
// `MessageDuplex(reading: .standardInput, writing: .standardOutput, framing: messages)`. Here a socket pair stands for them.
import Foundation
import SWJSON
import SWMessaging

/// Lines that are not JSON arrive as failures, and do not end the loop.
let messages = LineFraming(skipsBlankLines: true, takesLastLine: true)
  .json(JSONValue.self) { encoder, _ in encoder.outputFormatting = [.sortedKeys] }
  .results
typealias Client = MessageDuplex<ResultFraming<JSONFraming<LineFraming, JSONValue, JSONValue>>>

enum Tool {
  struct Unknown: Error {}

  static func call(_ method: String, _ parameters: JSONValue?) async throws -> JSONValue {
    switch method {
    case "initialize": return ["serverInfo": ["name": "squares", "version": "1"]]
    case "square":
      guard let number = parameters?["x"]?.integer else { throw Unknown() }
      return .int(Int64(number * number))
    default: throw Unknown()
    }
  }
}

func failure(_ code: Int64, _ text: String, for id: JSONValue = nil) -> JSONValue {
  ["jsonrpc": "2.0", "id": id, "error": ["code": .int(code), "message": .string(text)]]
}

/// The response to a request. Nil for a notification, which has no id.
func response(to request: JSONValue) async -> JSONValue? {
  guard let method = request["method"]?.text else { return failure(-32600, "not a request") }
  guard let id = request["id"] else { return nil }
  do {
    return ["jsonrpc": "2.0", "id": id, "result": try await Tool.call(method, request["params"])]
  } catch {
    return failure(-32601, "no such method: \(method)", for: id)
  }
}

/// Serves one client until it ends. Each request has a task of its own, and frames of several tasks never mix.
func serve(_ client: Client) async throws {
  try await withThrowingDiscardingTaskGroup { group in
    for try await line in client.messages {
      switch line {
      case .success(let request):
        group.addTask {
          if let response = await response(to: request) { try await client.send(response) }
        }
      case .failure: try await client.send(failure(-32700, "not JSON"))
      }
    }
  }
}

let (ours, theirs) = try makeSocketPair()
let server = Task { try await serve(Client(over: ours, framing: messages)) }

let client = MessageDuplex(over: theirs, framing: .lines)
for line in [
  #"{"jsonrpc":"2.0","id":1,"method":"square","params":{"x":7}}"#,
  #"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
  #"{"jsonrpc":"2.0","id":"two","method":"cube"}"#,
  "no JSON",
] {
  try await client.send(line)
}
var answers: [String] = []
for _ in 0..<3 {
  answers.append(String(decoding: try await client.receive(timeout: .seconds(10)), as: UTF8.self))
}
client.finishSending()
try await server.value
// They come in any order, because each request has a task of its own.
for answer in answers.sorted() { print(answer) }

// Prints:
//   {"error":{"code":-32601,"message":"no such method: cube"},"id":"two","jsonrpc":"2.0"}
//   {"error":{"code":-32700,"message":"not JSON"},"id":null,"jsonrpc":"2.0"}
//   {"id":1,"jsonrpc":"2.0","result":49}
