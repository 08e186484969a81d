// Objects across the border between Swift and Python, by Python's `multiprocessing.managers`: a Swift program calls the
// methods of objects that live in Python, and Python those of objects that live in Swift.
//
// The interpreter is the one that SWTEST_PYTHON names, or python3; it needs nothing installed.
import Foundation
import SWMultiprocessing
import Synchronization

let python = ProcessInfo.processInfo.environment["SWTEST_PYTHON"] ?? "/usr/bin/python3"
let authentication = Authentication(key: "secret")

// Python: a manager with a class of its own.
let manager = """
  from multiprocessing.managers import SyncManager

  class Stock:
      def __init__(self): self.items = {}
      def add(self, name, count=1):
          self.items[name] = self.items.get(name, 0) + count
          return self.items[name]
      def take(self, name):
          if not self.items.get(name): raise LookupError(f'no {name} left')
          self.items[name] -= 1

  class Manager(SyncManager): pass
  Manager.register('Stock', Stock)
  server = Manager(address=None, authkey=b'secret').get_server()
  print(server.address, flush=True)
  server.serve_forever()
  """

// Python: a user of a manager that is a Swift program.
let user = """
  import sys
  from multiprocessing.managers import BaseManager

  class Manager(BaseManager): pass
  Manager.register('Log')
  manager = Manager(address='\\0' + sys.argv[1], authkey=b'secret')
  manager.connect()
  log = manager.Log()
  for word in ['written', 'by', 'Python']: count = log.append(word)
  print(count, 'entries:', log._getvalue(), flush=True)
  """

if FileManager.default.isExecutableFile(atPath: python) {
  try await useStock()
  try await serveLog()
} else {
  print("skipped: no Python. Set SWTEST_PYTHON, or run scripts/setup-python.")
}

func useStock() async throws {
  let server = try await ChildProcess.spawn(
    python, arguments: ["-c", manager], channel: .standardStreams, framing: .lines)
  let path = String(decoding: try await server.channel.receive(timeout: .seconds(60)), as: UTF8.self)
  let client = ManagerClient(try Address(parsing: "unix:\(path)"), authentication: authentication)

  let stock = try await client.create("Stock")
  try await stock.call("add", "apple", 2)
  let pears = try await stock.call("add", "pear", keywords: ["count": 3], as: Int.self)
  print("\(pears) pears in Python's stock")
  precondition(pears == 3)

  // Many callers at once: each has a connection of its own. Two apples, and a third caller who gets none.
  let outcomes = await withTaskGroup { group in
    for _ in 0..<3 {
      group.addTask {
        do throws(MultiprocessingError) {
          try await stock.call("take", "apple", timeout: .seconds(60))
          return "an apple"
        } catch {
          guard case .remote(let failure) = error.reason else { return error.description }
          return failure.description
        }
      }
    }
    return await group.reduce(into: [String]()) { $0.append($1) }.sorted()
  }
  print(outcomes.joined(separator: "\n"))
  precondition(outcomes == ["Python raised LookupError: no apple left", "an apple", "an apple"])

  let list = try await client.create("list", ["of", "Python's"])
  try await list.call("append", "own")
  print(try await list.value(as: [String].self))

  try await client.shutDown()
  let status = try await server.exitStatus
  precondition(status.isSuccess)
}

/// Entries of a log.
final class Log: Sendable {
  private let entries = Mutex<[String]>([])

  var managedObject: ManagedObject {
    ManagedObject(
      methods: [
        "append": { call in
          let entry = try call.argument(0, as: String.self)
          return try .encoding(
            self.entries.withLock { entries in
              entries.append(entry)
              return entries.count
            })
        }
      ],
      value: { .list(self.entries.withLock { $0 }.map { PickleValue($0) }) })
  }
}

func serveLog() async throws {
  let log = Log()
  let server = try ManagerServer(.abstract(""), authentication: authentication)
  server.register("Log") { _ in log.managedObject }
  guard case .abstract(let name) = server.address.kind else {
    preconditionFailure("an abstract name was asked for")
  }
  let serving = Task { try await server.run() }
  let child = try await ChildProcess.spawn(
    python, arguments: ["-c", user, String(decoding: name, as: UTF8.self)], channel: .standardStreams,
    framing: .lines)
  let line = String(decoding: try await child.channel.receive(timeout: .seconds(60)), as: UTF8.self)
  print(line)
  precondition(line == "3 entries: ['written', 'by', 'Python']")
  server.close()
  try await serving.value
}
