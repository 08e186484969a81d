// An echo service at a Unix path. Its clients are two Python programs, one that waits for its answers and one in asyncio, and
// a thread of this program. Then the service ends gracefully: a request that was sent before is answered.
import Foundation
import SWMessaging

let directory = FileManager.default.temporaryDirectory.appending(path: "echo-\(UUID())")
try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
defer { try? FileManager.default.removeItem(at: directory) }

// The same as `.unix(…)`, as it could stand in a configuration file.
let address = try Address(parsing: "unix:\(directory.path)/echo.sock")

let blockingClient = """
  import socket, sys
  with socket.socket(socket.AF_UNIX) as peer:
      peer.connect(sys.argv[1])
      peer.sendall(b"from Python\\n")
      print(peer.makefile().readline(), end="")
  """
let asyncClient = """
  import asyncio, sys
  async def main():
      reader, writer = await asyncio.open_unix_connection(sys.argv[1])
      writer.write(b"from asyncio\\n")
      print((await reader.readline()).decode(), end="")
  asyncio.run(main())
  """

// The service. Only processes of the same user are let in, and the file is there when the service listens.
let listener = try Listener(address, framing: .lines)
let service = Task {
  try await listener.serve(limit: 100, draining: .seconds(5)) { peer in
    for try await line in peer.messages { try await peer.send(line) }
  }
}

// Its clients.
for script in [blockingClient, asyncClient] {
  let client = try await Command(
    "python3", arguments: ["-c", script, "\(directory.path)/echo.sock"]
  ).run(timeout: .seconds(60))
  print("a client has its answer: \(client.outputText)", terminator: "")
  precondition(client.status.isSuccess && client.outputText.hasPrefix("from "))
}
let answer = try await withCheckedThrowingContinuation { continuation in
  Thread.detachNewThread {
    continuation.resume(
      with: Result {
        let peer = try Connector(to: address).blocking.connect(framing: .lines, timeout: .seconds(60))
        try peer.blocking.send("from a thread")
        return String(decoding: try peer.blocking.receive(timeout: .seconds(60)), as: UTF8.self)
      })
  }
}
precondition(answer == "from a thread")

// The end, with one request still to be answered.
let last = try await connect(to: address, framing: .lines, timeout: .seconds(60))
try await last.send("not too late")
listener.finish()
let lastAnswer = try await last.receive(timeout: .seconds(60))
precondition(lastAnswer == Array("not too late".utf8))
try await service.value
let files = try FileManager.default.contentsOfDirectory(atPath: directory.path)
precondition(files.isEmpty)
print("all clients have their answers, the service has ended, and the file is gone")

// Prints:
//   a client has its answer: from …
//   a client has its answer: from …
//   all clients have their answers, the service has ended, and the file is gone
