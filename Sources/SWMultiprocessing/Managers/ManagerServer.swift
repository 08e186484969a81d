internal import SWFraming
public import SWIO
public import SWMessaging
internal import SWPickle
internal import Synchronization

/// A server of objects that Python's `BaseManager` uses: Python connects, makes objects of the registered types, and calls
/// their methods, which are closures here.
///
/// ```swift
/// let server = try ManagerServer(.unix("/run/app.sock"), authentication: Authentication(key: "secret"))
/// server.register("Counter") { _ in Counter().managedObject }
/// try await server.run()
/// ```
///
/// ```python
/// class Manager(multiprocessing.managers.BaseManager): pass
/// Manager.register("Counter")
/// manager = Manager(address="/run/app.sock", authkey=b"secret")
/// manager.connect()
/// counter = manager.Counter()
/// counter.increment(2)
/// ```
///
/// An object stays as long as Python has proxies of it, as Python counts them. A Python process that is killed gives no
/// reference back.
///
/// Safe to use from any thread and task. Each connection has a task of its own.
///
/// Source: CPython 3.8 to 3.13, `Lib/multiprocessing/managers.py`, `Server`.
public final class ManagerServer: Sendable {
  /// Makes an object. If it throws, the call in Python fails with that error.
  public typealias Maker = @Sendable (ManagerCall) async throws -> ManagedObject

  /// The address at which it listens.
  public let address: Address

  private let listener: Listener<MessageDuplex<MultiprocessingFraming>>
  private let timeLimit: Duration
  private let state = Guarded(State())

  private struct State: Sendable {
    var makers: [String: Maker] = [:]
    var objects: [String: Entry] = [:]
    var lastID = 0
  }

  private struct Entry: Sendable {
    var object: ManagedObject
    var references: Int
  }

  /// Listens. Clients can connect from now on, and are served by ``run(limit:)``.
  ///
  /// - Parameters:
  ///   - address: where to listen.
  ///   - authentication: the manager's `authkey`.
  ///   - maximumFrameSize: the largest request, in bytes, header included.
  ///   - backlog: how many connections may wait in the kernel's queue.
  ///   - file: the file of a Unix path.
  ///   - policy: the connections that are accepted; checked before the handshake.
  ///   - onFailure: called when a handshake has failed.
  /// - Throws: `EndpointError` as a `Listener`.
  public init(
    _ address: Address, authentication: Authentication, maximumFrameSize: Int = defaultMaximumFrameSize,
    backlog: Int = 4096, file: SocketFile = .mode(0o600), accepting policy: AcceptPolicy? = nil,
    onFailure: (@Sendable (MultiprocessingError) -> Void)? = nil
  ) throws(EndpointError) {
    listener = try Listener(
      address, framing: .multiprocessing, authentication: authentication, maximumFrameSize: maximumFrameSize,
      backlog: backlog, file: file, accepting: policy, onFailure: onFailure)
    self.address = listener.address
    timeLimit = authentication.timeLimit
  }

  deinit { listener.close() }

  /// Registers a type under a name. A name that is registered already gets another meaning.
  ///
  /// - Parameters:
  ///   - typeID: the name, under which Python's manager registers it, too.
  ///   - make: makes an object, for each call of `manager.NAME(…)` in Python. To serve one object to all, return the same
  ///     ``ManagedObject``.
  public func register(_ typeID: String, _ make: @escaping Maker) {
    state.withLock { $0.makers[typeID] = make }
  }

  /// How many objects are held for clients.
  public var numberOfObjects: Int { state.withLock { $0.objects.count } }

  /// Serves clients until the server is closed, a client shuts it down, or the task is cancelled. Then connections are
  /// closed, and tasks of methods that run are cancelled and waited for.
  ///
  /// - Parameter limit: the most clients that are connected at a time; nil: half of the descriptors that this process may
  ///   have. Further ones wait until one disconnects.
  /// - Throws: `EndpointError` `transport` if the listening socket is unusable; `closed` if the server has been closed
  ///   before.
  public func run(limit: Int? = nil) async throws(EndpointError) {
    if listener.isClosed { throw EndpointError(.closed, subject: .service(address)) }
    try await listener.serve(limit: limit, draining: .zero, on: nil) { await self.serve($0) }
  }

  /// Stops listening, and has ``run(limit:)`` return. Idempotent, does not wait.
  public func close() { listener.close() }

  // MARK: Connections

  private typealias Peer = MessageDuplex<MultiprocessingFraming>

  private func serve(_ peer: Peer) async {
    defer { peer.close() }
    guard let message = try? await peer.receive(timeout: timeLimit) else { return }
    guard let request = ManagerRequest(message) else {
      await answer(.failed("not a request: \(message.shortText)"), to: peer)
      return
    }
    switch request.name {
    case "accept_connection":
      if await answer(.returned(.none), to: peer) { await serveObjects(peer) }
    case "shutdown":
      await answer(.returned(.none), to: peer)
      listener.close()
    default: await answer(await serverFunction(request), to: peer)
    }
  }

  private func serveObjects(_ peer: Peer) async {
    while true {
      do throws(EndpointError) {
        let message = try await peer.receive()
        let response: Answer =
          if let request = ManagerRequest(message) {
            await method(request)
          } else {
            .failed("not a request: \(message.shortText)")
          }
        if await !answer(response, to: peer) { return }
      } catch {
        // A message that cannot be read as a pickle does not end the connection.
        guard case .codec(let cause) = error.reason else { return }
        if await !answer(.failed("the request cannot be read: \(cause)"), to: peer) { return }
      }
    }
  }

  /// Returns whether the connection can still be used.
  @discardableResult
  private func answer(_ answer: Answer, to peer: Peer) async -> Bool {
    do throws(EndpointError) {
      try await peer.send(answer.value)
      return true
    } catch {
      guard case .codec(let cause) = error.reason else { return false }
      let text = "Swift: the answer cannot be pickled: \(cause)\n"
      do throws(EndpointError) {
        try await peer.send(.tuple(["#UNSERIALIZABLE", PickleValue(text)]))
        return true
      } catch {
        return false
      }
    }
  }

  // MARK: Calls

  private enum Answer: Sendable {
    case returned(PickleValue)
    case raised(PickleValue)
    case failed(String)
    case proxy(ManagerToken, methods: [String])

    /// The answer for an error that a closure of the program has thrown.
    init(_ error: any Error) {
      if let exception = error as? PythonException {
        self = .raised(exception.value)
      } else {
        self = .failed("\(error)")
      }
    }

    var value: PickleValue {
      switch self {
      case .returned(let value): .tuple(["#RETURN", value])
      case .raised(let exception): .tuple(["#ERROR", exception])
      // Python prints the text unchanged.
      case .failed(let text): .tuple(["#TRACEBACK", PickleValue("Swift: \(text)\n")])
      case .proxy(let token, let methods):
        .tuple(["#PROXY", .tuple([.tuple(methods.map { PickleValue($0) }), token.value])])
      }
    }
  }

  private func serverFunction(_ request: ManagerRequest) async -> Answer {
    switch request.name {
    case "create": return await create(request)
    case "dummy": return .returned(.none)
    case "number_of_objects": return .returned(PickleValue(numberOfObjects))
    case "debug_info": return .returned(PickleValue(debugInfo))
    case "incref", "decref":
      guard let id = request.arguments.first?.text else {
        return .failed("\(request.name) takes the number of an object")
      }
      return count(id, by: request.name == "incref" ? 1 : -1)
    case "get_methods":
      guard let token = request.arguments.first.flatMap({ ManagerToken($0) }) else {
        return .failed("get_methods takes a Token")
      }
      guard let object = object(token.id) else { return .failed("there is no object \(token.id)") }
      return .returned(.tuple(Self.names(of: object).map { PickleValue($0) }))
    default: return .failed("the server has no function \(request.name.debugDescription)")
    }
  }

  private func create(_ request: ManagerRequest) async -> Answer {
    guard let typeID = request.arguments.first?.text else {
      return .failed("create takes the name of a type")
    }
    guard let make = state.withLock({ $0.makers[typeID] }) else {
      return .failed("no type is registered as \(typeID.debugDescription)")
    }
    do {
      let object = try await make(ManagerCall(request, droppingArguments: 1))
      let names: PickleValue = .tuple(Self.names(of: object).map { PickleValue($0) })
      return .returned(.tuple([PickleValue(add(object)), names]))
    } catch {
      // For this function, Python's client also understands exceptions of methods.
      return Answer(error)
    }
  }

  private func method(_ request: ManagerRequest) async -> Answer {
    guard let id = request.id, let object = object(id) else {
      return .failed("there is no object \(request.id ?? "None")")
    }
    do {
      if let method = object.methods[request.name] {
        switch try await method(ManagerCall(request)) {
        case .value(let value): return .returned(value)
        case .object(let object, let typeID):
          let token = ManagerToken(typeID: typeID, address: address, id: add(object))
          return .proxy(token, methods: Self.names(of: object))
        }
      }
      switch request.name {
      case "#GETVALUE":
        guard let value = object.value else { return .failed("the object has no value that could be copied") }
        return .returned(try await value())
      case "__str__", "__repr__": return .returned(PickleValue(object.text()))
      default:
        let names = Self.names(of: object).joined(separator: ", ")
        return .failed("the object has no method \(request.name.debugDescription); it has \(names)")
      }
    } catch {
      return Answer(error)
    }
  }

  // MARK: Objects

  private static func names(of object: ManagedObject) -> [String] { object.methods.keys.sorted() }

  private func object(_ id: String) -> ManagedObject? { state.withLock { $0.objects[id]?.object } }

  /// Adds an object with one reference, which belongs to the client for which it was made.
  private func add(_ object: ManagedObject) -> String {
    state.withLock { state in
      state.lastID += 1
      let id = String(state.lastID, radix: 16)
      state.objects[id] = Entry(object: object, references: 1)
      return id
    }
  }

  private func count(_ id: String, by difference: Int) -> Answer {
    // The object is released outside the lock, because that may run code of the program.
    let (found, last): (Bool, ManagedObject?) = state.withLock { state in
      guard var entry = state.objects[id] else { return (false, nil) }
      entry.references += difference
      state.objects[id] = entry.references > 0 ? entry : nil
      return (true, entry.object)
    }
    _ = last
    return found ? .returned(.none) : .failed("there is no object \(id)")
  }

  private var debugInfo: String {
    let entries = state.withLock { Array($0.objects) }
    return entries.sorted { $0.key < $1.key }.map { id, entry in
      "  \(id):       refcount=\(entry.references)\n    \(entry.object.text().prefix(75))"
    }.joined(separator: "\n")
  }
}
