// An echo service at a Unix path, with a client that is a task and one that is a thread. The file is there from the moment
// that the service listens until it is closed, and only processes of the same user are let in.
import Foundation
import SWMessaging

let directory = FileManager.default.temporaryDirectory.appending(path: "echo-\(UUID())")
try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
defer { try? FileManager.default.removeItem(at: directory) }

// The same as `.unix(…)`, as it could stand in a configuration file.
let address = try Address(parsing: "unix:\(directory.path)/echo.sock")

// The clients may come first.
let first = Task {
  let peer = try await connect(
    to: address, framing: .varInt, waitingForServer: true, timeout: .seconds(20))
  try await peer.send("from a task")
  return String(decoding: try await peer.receive(timeout: .seconds(20)), as: UTF8.self)
}
let second = Task {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread {
      continuation.resume(
        with: Result {
          let connector = Connector(to: address, waitingForServer: true)
          let peer = try connector.blocking.connect(framing: .varInt, timeout: .seconds(20))
          try peer.blocking.send("from a thread")
          return String(decoding: try peer.blocking.receive(timeout: .seconds(20)), as: UTF8.self)
        })
    }
  }
}

let listener = try Listener(address, framing: .varInt)
let service = Task {
  try await withThrowingDiscardingTaskGroup { group in
    for try await peer in listener.connections {
      print("connected: user \(peer.peer?.userID == getuid() ? "is our own" : "is another")")
      group.addTask { for try await message in peer.messages { try await peer.send(message) } }
    }
  }
}

let answers = try await [first.value, second.value]
listener.close()
try await service.value
precondition(answers == ["from a task", "from a thread"])
let files = try FileManager.default.contentsOfDirectory(atPath: directory.path)
precondition(files.isEmpty)
print("both clients have their answers, and the file is gone")
