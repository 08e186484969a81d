import SWMultiprocessing
import SWTesting
import Synchronization
import TestSupport
import Testing

private struct SwiftError: Error {}

/// An object with methods.
private final class Counter: Sendable {
  private let state: Mutex<Int>
  private let step: Int

  init(_ start: Int, step: Int) {
    state = Mutex(start)
    self.step = step
  }

  func add(_ number: Int?) -> Int {
    state.withLock { value in
      value += number ?? step
      return value
    }
  }

  var managedObject: ManagedObject {
    ManagedObject(
      methods: [
        "add": { call in
          let number = call.arguments.isEmpty ? nil : try call.argument(0, as: Int.self)
          return .value(PickleValue(self.add(number)))
        },
        "echo": { call in .value(call.arguments.first ?? .none) },
        "fail": { call in throw PythonException("ValueError", try call.argument(0)) },
        "failInSwift": { _ in throw SwiftError() },
        "unpicklable": { _ in .value(.set([[1]])) },
        "child": { call in .object(Counter(try call.argument(0), step: 1).managedObject, typeID: "Counter") },
      ],
      value: { ["value": PickleValue(self.add(0))] }, text: { "a counter" })
  }
}

/// A server of objects, for managers of CPython.
@Suite(.needsKeys, .lastResort, .leavesNothing) struct ManagerServerTests {
  private static func server(_ place: Place) throws -> ManagerServer {
    let server = try ManagerServer(place.address(), authentication: key())
    server.register("Counter") { call in
      Counter(
        call.arguments.isEmpty ? 0 : try call.argument(0), step: try call.keyword("step") ?? 1
      ).managedObject
    }
    server.register("Broken") { _ in throw PythonException("KeyError", "broken") }
    return server
  }

  @Test(
    .enabled(if: !Python.all.isEmpty, Comment(rawValue: Python.missing)), arguments: Python.all,
    Place.allCases)
  func `BaseManager of Python uses objects`(_ python: Python, _ place: Place) async throws {
    let server = try Self.server(place)
    let running = Task { try await server.run() }
    let child = try await python.start("manager_client.py", server.address.argument, "secret")
    #expect(try await child.line() == "DONE")
    #expect(try await child.exitStatus == .exited(0))
    #expect(server.numberOfObjects == 0)
    running.cancel()
    try await running.value
  }

  @Test(.enabled(if: !Python.all.isEmpty, Comment(rawValue: Python.missing)), arguments: Python.all)
  func `Python shuts the server down`(_ python: Python) async throws {
    let server = try Self.server(.abstract)
    let running = Task { try await server.run() }
    let child = try await python.start("manager_client.py", server.address.argument, "secret", "shutdown")
    let line = try await child.line()
    #expect(line == "DONE")
    // It has failed before it came to that.
    if line != "DONE" { server.close() }
    #expect(try await child.exitStatus == .exited(0))
    try await running.value
    await #expect(throws: EndpointError.self) { try await server.run() }
  }

  @Test func `our client uses our server`() async throws {
    let server = try Self.server(.abstract)
    let running = Task { try await server.run() }
    let client = ManagerClient(server.address, authentication: key())
    let counter = try await client.create("Counter", 5, keywords: ["step": 3])
    #expect(try await counter.call("add", as: Int.self) == 8)
    #expect(try await counter.value() == ["value": 8])
    #expect(try await counter.call("__str__", as: String.self) == "a counter")
    #expect(try await counter.exposedMethods().contains("echo"))
    let child = try await counter.callForProxy("child", 1)
    #expect(try await child.call("add", as: Int.self) == 2)
    #expect(try await client.numberOfObjects() == 2)
    let same = try #require(try await client.proxy(for: child.pickleValue))
    try await child.close()
    #expect(try await same.call("add", as: Int.self) == 3)
    try await same.close()
    await #expect(throws: MultiprocessingError.self) { try await same.call("add") }
    do throws(MultiprocessingError) {
      try await counter.call("fail", "no good")
      Issue.record("it did not throw")
    } catch {
      #expect(error.description.hasSuffix("Python raised ValueError: no good"))
    }
    try await counter.close()
    #expect(server.numberOfObjects == 0)
    client.close()
    server.close()
    try await running.value
  }

  @Test(
    arguments: [
      7, .tuple([]), .tuple(["0", "add", .tuple([]), [:]]),
      .tuple([nil, "no such function", .tuple([]), [:]]),
      .tuple([nil, "incref", .tuple([]), [:]]), .tuple([nil, "get_methods", .tuple([7]), [:]]),
      .tuple([nil, "create", .tuple([7]), [:]]), .tuple([nil, "decref", .tuple(["9"]), [:]]),
      .tuple([nil, "dummy", .tuple([]), [1: 2]]),
    ] as [PickleValue])
  func `a request that makes no sense is answered with an error`(_ request: PickleValue) async throws {
    let server = try Self.server(.abstract)
    let running = Task { try await server.run() }
    let peer = try await connect(to: server.address, framing: .multiprocessing, authentication: key())
    try await peer.send(request)
    let answer = try await peer.receive()
    #expect(answer[0] == "#TRACEBACK" && answer[1]?.text?.hasPrefix("Swift: ") == true)
    #expect(try await peer.next() == nil)
    server.close()
    try await running.value
  }

  @Test func `requests for objects that make no sense leave the connection in use`() async throws {
    let server = try Self.server(.abstract)
    let running = Task { try await server.run() }
    let raw = try await connect(to: server.address, framing: .multiprocessingBytes, authentication: key())
    func ask(_ pickle: [UInt8]) async throws -> PickleValue {
      try await raw.send(pickle)
      return try PickleValue(pickle: try await raw.receive())
    }
    let name: PickleValue = "test"
    #expect(
      try await ask(PickleValue.tuple([nil, "accept_connection", .tuple([name]), [:]]).pickled())
        == .tuple(["#RETURN", nil]))
    #expect(try await ask([0x80, 4, 0x2e])[0] == "#TRACEBACK")
    #expect(try await ask(PickleValue(7).pickled())[0] == "#TRACEBACK")
    #expect(
      try await ask(PickleValue.tuple(["77", "add", .tuple([]), [:]]).pickled())[0] == "#TRACEBACK")
    raw.close()
    server.close()
    try await running.value
  }

  /// A server that makes objects, and counts the references that are given back.
  private actor HandServer {
    private var lastID = 0
    private var givingBack = 0
    private(set) var most = 0
    private(set) var givenBack: Set<String> = []

    func serve(_ peer: MessageDuplex<MultiprocessingFraming>) async throws {
      let request = try await peer.receive()
      if request[1] == "create" {
        lastID += 1
        return try await peer.send(.tuple(["#RETURN", .tuple([PickleValue("\(lastID)"), .tuple([])])]))
      }
      givingBack += 1
      most = max(most, givingBack)
      for _ in 0..<100 { await Task.yield() }
      givingBack -= 1
      if let id = request[2]?[0]?.text { givenBack.insert(id) }
      try await peer.send(.tuple(["#RETURN", nil]))
    }
  }

  @Test func `many proxies that are dropped give their references back over one connection at a time`()
    async throws
  {
    let listener = try Listener(Place.abstract.address(), framing: .multiprocessing, authentication: key())
    let server = HandServer()
    let serving = Task { try await listener.serve { try await server.serve($0) } }
    let client = ManagerClient(listener.address, authentication: key())
    var proxies: [ManagerProxy] = []
    for _ in 0..<30 { proxies.append(try await client.create("Counter")) }
    proxies = []
    while await server.givenBack.count < 30 { await Task.yield() }
    #expect(await server.most == 1)
    client.close()
    listener.finish()
    try await serving.value
  }

  @Test func `a reference is given back although the client is dropped with its proxy`() async throws {
    let listener = try Listener(Place.abstract.address(), framing: .multiprocessing, authentication: key())
    let server = HandServer()
    let serving = Task { try await listener.serve { try await server.serve($0) } }
    for _ in 0..<30 {
      _ = try await ManagerClient(listener.address, authentication: key()).create("Counter")
    }
    while await server.givenBack.count < 30 { await Task.yield() }
    listener.finish()
    try await serving.value
  }

  @Test func `further clients wait while as many are connected as the server serves`() async throws {
    let server = try Self.server(.abstract)
    let running = Task { try await server.run(limit: 1) }
    let request = PickleValue.tuple([nil, "accept_connection", .tuple(["test"]), [:]])
    let first = try await connect(to: server.address, framing: .multiprocessing, authentication: key())
    try await first.send(request)
    #expect(try await first.receive() == .tuple(["#RETURN", nil]))
    let second = try await connect(to: server.address, framing: .multiprocessing, authentication: key())
    try await second.send(request)
    await #expect(throws: EndpointError.self) { try await second.receive(timeout: .milliseconds(50)) }
    first.close()
    #expect(try await second.receive() == .tuple(["#RETURN", nil]))
    second.close()
    server.close()
    try await running.value
  }

  @Test func `a server that is dropped gives up its address`() async throws {
    var server: ManagerServer? = try Self.server(.abstract)
    let address = try #require(server?.address)
    server = nil
    await #expect(throws: MultiprocessingError.self) {
      try await ManagerClient(address, authentication: key()).ping()
    }
  }
}
