// The beginning and the end of a conversation with a language server: JSON-RPC behind Content-Length headers,
// over the server's standard streams. The server is a few lines of Python.
//
// The interpreter is the one that SWTEST_PYTHON names, or python3.
import Foundation
import SWJSON
import SWMessaging

let script = #"""
  import json, sys
  def receive():
      length = 0
      while line := sys.stdin.buffer.readline().strip():
          if line.lower().startswith(b"content-length:"): length = int(line.split(b":")[1])
      return json.loads(sys.stdin.buffer.read(length))
  def answer(request, result):
      body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
      sys.stdout.buffer.write(b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n")
      sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
      sys.stdout.buffer.flush()
  while (request := receive())["method"] != "exit":
      is_hello = request["method"] == "initialize"
      answer(request, {"capabilities": {"hoverProvider": True}} if is_hello else None)
  """#

struct Request: Encodable, Sendable {
  var jsonrpc = "2.0"
  var id: Int?
  var method: String
  var params: [String: String]?
}

struct Response: Decodable, Sendable {
  struct Result: Decodable, Sendable {
    var capabilities: [String: Bool]
  }
  var id: Int
  var result: Result?
}

let environment = ProcessInfo.processInfo.environment
let places = (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/python3" }
guard
  let python = ([environment["SWTEST_PYTHON"] ?? ""] + places).first(where: {
    FileManager.default.isExecutableFile(atPath: $0)
  })
else {
  print("skipped: no python3 in PATH")
  exit(0)
}

let server = try await ChildProcess.spawn(
  python, arguments: ["-c", script],
  channel: .standardStreams,
  framing: .contentLength.json(receiving: Response.self, sending: Request.self))

try await server.channel.send(Request(id: 1, method: "initialize", params: ["rootUri": "file:///tmp"]))
let hello = try await server.channel.receive(timeout: .seconds(20))
print("the server can: \(hello.result?.capabilities.keys.sorted() ?? [])")
precondition(hello.id == 1 && hello.result?.capabilities == ["hoverProvider": true])

try await server.channel.send(Request(id: 2, method: "shutdown"))
let farewell = try await server.channel.receive(timeout: .seconds(20))
precondition(farewell.id == 2 && farewell.result == nil)

try await server.channel.send(Request(method: "exit"))
let status = try await server.waitForExit(timeout: .seconds(20))
print("the server \(status)")
precondition(status.isSuccess)

// Prints:
//   the server can: ["hoverProvider"]
//   the server exited with code 0
