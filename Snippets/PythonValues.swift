// A Python process that speaks `multiprocessing.connection`: its dicts are structs here, and the other way round.
//
// The interpreter is the one that SWTEST_PYTHON names, or that of .venv, or python3; it needs nothing installed.
import Foundation
import SWMessaging
import SWPickle

let script = """
  import datetime
  from multiprocessing.connection import Connection
  connection = Connection(3)
  try:
      while True:
          request = connection.recv()
          connection.send({
              "id": request["id"],
              "text": request["text"].upper(),
              "length": len(request["text"]),
              "due": request["date"] + datetime.timedelta(days=1),
          })
  except EOFError:
      pass
  """

struct Request: Codable, Sendable {
  var id: Int
  var text: String
  var date: Date
}

struct Reply: Codable, Sendable {
  var id: Int
  var text: String
  var length: Int
  var due: Date
}

let candidates = [
  ProcessInfo.processInfo.environment["SWTEST_PYTHON"], ".venv/bin/python", "/usr/bin/python3",
]
if let python = candidates.compactMap({ $0 }).first(where: FileManager.default.isExecutableFile(atPath:)) {
  // Typed at both ends of the Swift side.
  let worker = try await ChildProcess.spawn(
    python, arguments: ["-c", script], channel: .descriptor(3),
    framing: .multiprocessing(receiving: Reply.self, sending: Request.self))
  let now = Date(timeIntervalSince1970: 1_700_000_000)
  for (id, text) in ["dig a hole", "fill it"].enumerated() {
    try await worker.channel.send(Request(id: id, text: text, date: now), timeout: .seconds(20))
    let reply = try await worker.channel.receive(timeout: .seconds(20))
    print("\(reply.id): \(reply.text), \(reply.length) characters, due \(PickleDateTime(reply.due))")
    precondition(
      reply.id == id && reply.text == text.uppercased() && reply.due == now.addingTimeInterval(86_400))
  }
  worker.channel.finishSending()
  let status = try await worker.exitStatus
  precondition(status.isSuccess)

  // The same without types.
  let other = try await ChildProcess.spawn(
    python, arguments: ["-c", script], channel: .descriptor(3), framing: .multiprocessing)
  try await other.channel.send(
    ["id": 7, "text": "straße", "date": PickleValue(PickleDateTime(now))], timeout: .seconds(20))
  let reply = try await other.channel.receive(timeout: .seconds(20))
  print(reply)
  precondition(reply["text"]?.text == "STRASSE")
  other.channel.finishSending()
  let otherStatus = try await other.exitStatus
  precondition(otherStatus.isSuccess)
} else {
  print("skipped: no Python. Set SWTEST_PYTHON, or run scripts/setup-python.")
}

extension PickleDateTime {
  init(_ date: Date) {
    guard let value = PickleDateTime(microsecondsSince1970: Int(date.timeIntervalSince1970 * 1_000_000))
    else {
      preconditionFailure("a date of the years 1 to 9999")
    }
    self = value
  }
}

// Prints:
//   0: DIG A HOLE, 10 characters, due 2023-11-15T22:13:20+00:00
//   1: FILL IT, 7 characters, due 2023-11-15T22:13:20+00:00
//   {"id": 7, "text": "STRASSE", "length": 6, "due": 2023-11-15T22:13:20+00:00}
