import SWMultiprocessing
import SWTesting
import Synchronization
import TestSupport
import Testing

/// A client of managers that run in CPython.
@Suite(
  .needsKeys, .enabled(if: !Python.all.isEmpty, Comment(rawValue: Python.missing)), .lastResort,
  .leavesNothing)
struct ManagerClientTests {
  /// Runs a manager, and ends it.
  private static func withManager(
    _ python: Python, at place: Place = .path, _ body: (ManagerClient) async throws -> Void
  ) async throws {
    let child = try await python.start("manager.py", place.address().argument, "secret")
    do {
      let client = ManagerClient(try await child.readyAddress(), authentication: key())
      defer { client.close() }
      try await body(client)
      try await client.shutDown()
    } catch {
      try child.kill()
      throw error
    }
    #expect(try await child.exitStatus == .exited(0))
  }

  @Test(arguments: Python.all)
  func `lists and dicts of a SyncManager are used`(_ python: Python) async throws {
    try await Self.withManager(python) { manager in
      try await manager.ping()
      let list = try await manager.create("list", [3, 1])
      #expect(list.methods.contains("append") && list.typeID == "list")
      try await list.call("append", 2)
      try await list.call("sort")
      #expect(try await list.call("__len__", as: Int.self) == 3)
      #expect(try await list.call("__getitem__", 0) == 1)
      #expect(try await list.value(as: [Int].self) == [1, 2, 3])
      #expect(try await list.value() == [1, 2, 3])
      #expect(try await list.call("__str__", as: String.self) == "[1, 2, 3]")
      #expect(Set(try await list.exposedMethods()) == Set(list.methods))

      let dict = try await manager.create("dict", keywords: ["a": 1])
      try await dict.call("__setitem__", "b", ["nested": [1.5]])
      #expect(try await dict.value() == ["a": 1, "b": ["nested": [1.5]]])
      #expect(try await dict.call("get", "c", as: Int?.self) == nil)
      #expect(try await dict.call("pop", "a", as: Int.self) == 1)
      #expect(try await dict.call("__contains__", "a", as: Bool.self) == false)

      #expect(try await manager.numberOfObjects() == 2)
      #expect(try await manager.debugInfo().contains("refcount=1"))
      try await list.close()
      try await list.close()
      try await dict.close()
      #expect(try await manager.numberOfObjects() == 0)
    }
  }

  @Test(arguments: Python.all)
  func `queues, locks and namespaces of a SyncManager are used`(_ python: Python) async throws {
    try await Self.withManager(python) { manager in
      let queue = try await manager.create("Queue", 1)
      try await queue.call("put", "job")
      do throws(MultiprocessingError) {
        try await queue.call("put", "too many", false)
        Issue.record("the queue is full")
      } catch {
        guard case .remote(let failure) = error.reason else {
          Issue.record("\(error)")
          return
        }
        #expect(failure.exceptionName == PickleName("queue", "Full"))
      }
      // A get that waits, on a connection of its own, until another call puts something.
      #expect(try await queue.call("get", as: String.self) == "job")
      async let waiting = queue.call("get", as: Int.self)
      try await queue.call("put", 7)
      #expect(try await waiting == 7)

      let lock = try await manager.create("Lock")
      #expect(try await lock.call("acquire", as: Bool.self))
      #expect(try await lock.call("acquire", false, as: Bool.self) == false)
      try await lock.call("release")

      let namespace = try await manager.create("Namespace", keywords: ["x": 1])
      try await namespace.call("__setattr__", "y", "text")
      #expect(try await namespace.call("__getattribute__", "x") == 1)
      #expect(try await namespace.call("__getattribute__", "y") == "text")
      for proxy in [queue, lock, namespace] { try await proxy.close() }
    }
  }

  @Test(arguments: Python.all)
  func `exceptions are values, and the connection goes on`(_ python: Python) async throws {
    try await Self.withManager(python) { manager in
      let calculator = try await manager.create("Calculator", 5, keywords: ["step": 2])
      #expect(try await calculator.call("add", as: Int.self) == 7)
      do throws(MultiprocessingError) {
        try await calculator.call("fail", "no good")
        Issue.record("it did not raise")
      } catch {
        guard case .remote(let failure) = error.reason else {
          Issue.record("\(error)")
          return
        }
        #expect(failure.exceptionName == PickleName("builtins", "ValueError"))
        #expect(failure.arguments == ["no good", 7])
        #expect(error.description == "\(manager.address): Python raised ValueError: no good, 7")
      }
      await #expect(throws: MultiprocessingError.self) { try await calculator.call("fail_oddly") }
      do throws(MultiprocessingError) {
        try await calculator.call("unpicklable")
        Issue.record("the result cannot be pickled")
      } catch {
        guard case .remote(.unserializable(let text)) = error.reason else {
          Issue.record("\(error)")
          return
        }
        #expect(text.contains("Traceback"))
      }
      do throws(MultiprocessingError) {
        try await calculator.call("_hidden")
        Issue.record("the method is hidden")
      } catch {
        guard case .remote(.traceback(let text)) = error.reason else {
          Issue.record("\(error)")
          return
        }
        #expect(text.contains("AttributeError"))
      }
      do throws(MultiprocessingError) {
        _ = try await manager.create("Nothing")
        Issue.record("no such type is registered")
      } catch {
        guard case .remote(.traceback(let text)) = error.reason else {
          Issue.record("\(error)")
          return
        }
        #expect(text.contains("KeyError"))
      }
      do throws(MultiprocessingError) {
        _ = try await calculator.call("add", as: [String].self)
        Issue.record("the result is of another type")
      } catch {
        guard case .decoding = error.reason else {
          Issue.record("\(error)")
          return
        }
      }
      #expect(
        try await calculator.call("keywords", 1, "a", keywords: ["b": 2, "c": nil]) == [
          [1, "a"], ["b": 2, "c": nil],
        ])
      #expect(try await calculator.call("add", 0, as: Int.self) == 9)
      try await calculator.close()
    }
  }

  @Test(arguments: Python.all)
  func `results that stay in the manager are proxies`(_ python: Python) async throws {
    try await Self.withManager(python) { manager in
      let calculator = try await manager.create("Calculator")
      let child = try await calculator.callForProxy("child", 100)
      #expect(try await child.call("add", as: Int.self) == 101)
      #expect(child.typeID == "Child" && child.methods.contains("add"))
      #expect(try await manager.numberOfObjects() == 2)
      await #expect(throws: MultiprocessingError.self) { try await calculator.callForProxy("add") }

      // A list of proxies, as Python nests them. Python 3.8 cannot nest those of types without a proxy class.
      if python.version == "3.8" { return }
      let list = try await manager.create("list", [PickleValue]())
      try await list.call("append", child.pickleValue)
      let element = try await list.call("__getitem__", 0)
      let same = try #require(try await manager.proxy(for: element))
      #expect(same.id == child.id)
      #expect(try await same.call("add", as: Int.self) == 102)
      #expect(try await manager.proxy(for: 7) == nil)
      for proxy in [same, child, list, calculator] { try await proxy.close() }
    }
  }

  @Test(arguments: Python.all)
  func `a proxy that is dropped gives its reference back`(_ python: Python) async throws {
    try await Self.withManager(python) { manager in
      _ = try await manager.create("list", [1])
      let limit = Deadline.after(.patience)
      while try await manager.numberOfObjects() > 0, !limit.hasPassed { await Task.yield() }
      #expect(!limit.hasPassed)
    }
  }

  @Test(arguments: Python.all)
  func `a call whose result is not a value is refused, and nothing is left`(_ python: Python) async throws {
    try await Self.withManager(python) { manager in
      let calculator = try await manager.create("Calculator")
      do throws(MultiprocessingError) {
        try await calculator.call("child", 1)
        Issue.record("the result is an object")
      } catch {
        guard case .unexpected(let text) = error.reason else {
          Issue.record("\(error)")
          return
        }
        #expect(text.hasPrefix("expected a value as the result of child"))
      }
      let limit = Deadline.after(.patience)
      while try await manager.numberOfObjects() > 1, !limit.hasPassed { await Task.yield() }
      #expect(!limit.hasPassed)
      try await calculator.close()
    }
  }

  @Test(arguments: Python.all)
  func `a call that is cancelled or late leaves the others alone`(_ python: Python) async throws {
    try await Self.withManager(python) { manager in
      let calculator = try await manager.create("Calculator")
      do throws(MultiprocessingError) {
        try await calculator.call("wait", timeout: .milliseconds(100))
        Issue.record("it waits for ever")
      } catch {
        guard case .connection(let cause) = error.reason, case .timedOut = cause.reason else {
          Issue.record("\(error)")
          return
        }
      }
      let task = Task { try await calculator.call("wait") }
      #expect(try await calculator.call("add", as: Int.self) == 1)
      task.cancel()
      await #expect(throws: MultiprocessingError.self) { try await task.value }
      #expect(try await calculator.call("add", as: Int.self) == 2)
      try await calculator.call("go")
      #expect(try await calculator.call("wait", as: Bool.self))
      try await calculator.close()
    }
  }

  @Test(arguments: Python.all)
  func `many callers at once have connections of their own`(_ python: Python) async throws {
    try await Self.withManager(python, at: .tcp) { manager in
      let calculator = try await manager.create("Calculator")
      try await withThrowingTaskGroup { group in
        for _ in 0..<12 {
          group.addTask { for _ in 0..<20 { try await calculator.call("add", 1) } }
        }
        try await group.waitForAll()
      }
      #expect(try await calculator.call("add", 0, as: Int.self) <= 240)
      try await calculator.close()
    }
  }

  @Test(arguments: Python.all)
  func `threads use a manager`(_ python: Python) async throws {
    try await Self.withManager(python) { manager in
      try await TestThread {
        let manager = manager.blocking
        try manager.ping()
        let list = try manager.create("list", [1, 2]).blocking
        try list.call("append", 3)
        #expect(try list.call("__len__", as: Int.self) == 3)
        #expect(try list.value(as: [Int].self) == [1, 2, 3])
        #expect(try list.exposedMethods().contains("append"))
        #expect(try manager.numberOfObjects() == 1)
        #expect(try manager.debugInfo().contains("[1, 2, 3]"))
        try list.close()
        let calculator = try manager.create("Calculator")
        let child = try calculator.blocking.callForProxy("child", 5)
        #expect(try child.blocking.call("add", as: Int.self) == 6)
        #expect(throws: MultiprocessingError.self) { try child.blocking.call("fail", "x") }
        try child.blocking.close()
        try calculator.blocking.close()
      }.value
    }
  }

  @Test(arguments: Python.all)
  func `a manager that has gone is an error, and one with another key, too`(_ python: Python) async throws {
    let child = try await python.start("manager.py", Place.path.address().argument, "secret")
    let address = try await child.readyAddress()
    let stranger = ManagerClient(address, authentication: key("wrong"))
    let failure = await authenticationFailure { try await stranger.ping() }
    #expect(failure == AuthenticationFailure(.rejected, as: .client))

    let client = ManagerClient(address, authentication: key())
    let list = try await client.create("list", [1])
    #expect(try await list.call("__len__", as: Int.self) == 1)
    try child.kill()
    _ = try await child.exitStatus
    await #expect(throws: MultiprocessingError.self) { try await list.call("__len__") }
    await #expect(throws: MultiprocessingError.self) { try await list.close() }
    client.close()
    await #expect(throws: MultiprocessingError.self) { try await client.ping() }
  }
}
