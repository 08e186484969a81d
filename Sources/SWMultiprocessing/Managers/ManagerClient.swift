public import SWIO
internal import SWMessaging
public import SWPickle

/// A client of a manager of Python's `multiprocessing`: the objects live in the manager's process, and a
/// ``ManagerProxy`` calls their methods.
///
/// ```swift
/// let manager = ManagerClient(.unix("/run/manager.sock"), authentication: Authentication(key: "secret"))
/// let list = try await manager.create("list", [1, 2])
/// try await list.call("append", 3)
/// let sum = try await list.call("__len__", as: Int.self)
/// try await list.close()
/// ```
///
/// Python's side is a `BaseManager` or a `SyncManager` that has been started, or whose server runs
/// (`manager.get_server().serve_forever()`). Types are registered there, under the names that ``create(_:_:keywords:timeout:until:)``
/// takes.
///
/// Safe to use from any thread and task. Each call that is under way has a connection of its own, so no call waits for
/// another one here. Up to 8 idle connections are kept for later calls. A connection whose call was cancelled, or ran out of time,
/// is closed; the method may go on in the server all the same.
///
/// Nothing is sent twice: if a connection is lost during a call, the call throws.
public final class ManagerClient: Sendable {
  /// The address of the manager.
  public let address: Address

  /// How a client encodes, decodes and connects.
  public struct Options: Sendable {
    /// Makes Python's values of arguments.
    public var encoder = PickleEncoder()
    /// Makes Swift's values of results.
    public var decoder = PickleDecoder()
    /// The largest message to receive, in bytes, header included.
    public var maximumFrameSize = defaultMaximumFrameSize
    /// How many idle connections are kept.
    public var idleConnections = 8

    /// The options as they are unless they are set.
    public init() {}
  }

  let options: Options
  let links: ManagerLinks

  /// Makes a client, which connects when it is first used.
  ///
  /// - Parameters:
  ///   - address: where the manager listens.
  ///   - authentication: the manager's `authkey`.
  ///   - options: how the client encodes, decodes and connects.
  public init(_ address: Address, authentication: Authentication, options: Options = Options()) {
    self.address = address
    self.options = options
    links = ManagerLinks(address, authentication, options)
  }

  deinit { links.close() }

  /// Closes the idle connections, and each other one when its call has ended. Proxies of this client throw from then on.
  public func close() { links.close() }

  // MARK: Objects

  /// Has the manager make an object of a registered type.
  ///
  /// - Parameters:
  ///   - typeID: the name under which the type is registered, such as `list`, `dict`, `Queue` of a `SyncManager`.
  ///   - arguments: the arguments of its constructor.
  ///   - keywords: the keyword arguments.
  ///   - timeout: how long to wait at most; nil: without limit, except for the handshake.
  ///   - deadline: until when to wait at most.
  /// - Returns: a proxy, which holds a reference to the object.
  /// - Throws: ``MultiprocessingError``. If the call has timed out or was cancelled, the object may have been made, and stays in
  ///   the manager.
  public func create<each Argument: Encodable & Sendable>(
    _ typeID: String, _ arguments: repeat each Argument, keywords: [String: PickleValue] = [:],
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> ManagerProxy {
    let request = creation(typeID, try encoded(repeat each arguments), keywords)
    return try created(typeID, await links.call(request, CallLimit(timeout, deadline).deadline))
  }

  /// Makes a proxy of a proxy that Python has pickled, such as an element of a list of proxies. The manager must be this one.
  ///
  /// - Returns: a proxy, which holds a reference of its own to the object; nil if the value is no pickled proxy of this manager.
  /// - Throws: ``MultiprocessingError``; `remote` if the object is gone.
  public func proxy(
    for value: PickleValue, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> ManagerProxy? {
    guard let pickled = PickledProxy(value), isOwn(pickled.token) else { return nil }
    _ = try await links.call(.increment(pickled.token.id), CallLimit(timeout, deadline).deadline)
    return ManagerProxy(pickled.token, pickled.methods, self)
  }

  // MARK: The manager itself

  /// Does nothing in the manager: returns when it has answered.
  ///
  /// - Throws: ``MultiprocessingError``.
  public func ping(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) {
    _ = try await links.call(ManagerRequest(name: "dummy"), CallLimit(timeout, deadline).deadline)
  }

  /// How many objects the manager holds for its clients.
  ///
  /// - Throws: ``MultiprocessingError``.
  public func numberOfObjects(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> Int {
    let request = ManagerRequest(name: "number_of_objects")
    return try count(in: await links.call(request, CallLimit(timeout, deadline).deadline))
  }

  /// For people: the objects that the manager holds, and how many references each has.
  ///
  /// - Throws: ``MultiprocessingError``.
  public func debugInfo(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> String {
    let request = ManagerRequest(name: "debug_info")
    return try text(in: await links.call(request, CallLimit(timeout, deadline).deadline))
  }

  /// Ends the manager's server: its process, if the manager was started as one.
  ///
  /// - Throws: ``MultiprocessingError``.
  public func shutDown(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) {
    _ = try await links.call(ManagerRequest(name: "shutdown"), CallLimit(timeout, deadline).deadline)
  }

  /// The same calls, blocking. Not usable from async code.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public var blocking: BlockingManagerClient { BlockingManagerClient(client: self) }
}

/// The blocking view of a manager's client.
public struct BlockingManagerClient: Sendable {
  let client: ManagerClient

  /// Blocking form of ``ManagerClient/create(_:_:keywords:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func create<each Argument: Encodable & Sendable>(
    _ typeID: String, _ arguments: repeat each Argument, keywords: [String: PickleValue] = [:],
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> ManagerProxy {
    let request = client.creation(typeID, try client.encoded(repeat each arguments), keywords)
    return try client.created(
      typeID, client.links.callBlocking(request, CallLimit(timeout, deadline).deadline))
  }

  /// Blocking form of ``ManagerClient/proxy(for:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func proxy(
    for value: PickleValue, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> ManagerProxy? {
    guard let pickled = PickledProxy(value), client.isOwn(pickled.token) else { return nil }
    _ = try client.links.callBlocking(.increment(pickled.token.id), CallLimit(timeout, deadline).deadline)
    return ManagerProxy(pickled.token, pickled.methods, client)
  }

  /// Blocking form of ``ManagerClient/ping(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func ping(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) {
    _ = try client.links.callBlocking(ManagerRequest(name: "dummy"), CallLimit(timeout, deadline).deadline)
  }

  /// Blocking form of ``ManagerClient/numberOfObjects(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func numberOfObjects(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> Int {
    let request = ManagerRequest(name: "number_of_objects")
    return try client.count(in: client.links.callBlocking(request, CallLimit(timeout, deadline).deadline))
  }

  /// Blocking form of ``ManagerClient/debugInfo(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func debugInfo(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> String {
    let request = ManagerRequest(name: "debug_info")
    return try client.text(in: client.links.callBlocking(request, CallLimit(timeout, deadline).deadline))
  }

  /// Blocking form of ``ManagerClient/shutDown(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func shutDown(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) {
    _ = try client.links.callBlocking(
      ManagerRequest(name: "shutdown"), CallLimit(timeout, deadline).deadline)
  }
}

extension ManagerRequest {
  static func increment(_ id: String) -> ManagerRequest {
    ManagerRequest(name: "incref", arguments: [PickleValue(id)])
  }

  static func decrement(_ id: String) -> ManagerRequest {
    ManagerRequest(name: "decref", arguments: [PickleValue(id)])
  }
}

extension ManagerClient {
  func encoded<each Argument: Encodable & Sendable>(
    _ arguments: repeat each Argument
  ) throws(MultiprocessingError) -> [PickleValue] {
    var values: [PickleValue] = []
    do {
      repeat values.append(try options.encoder.encodeValue(each arguments))
    } catch {
      throw MultiprocessingError(.encoding(error), address: address)
    }
    return values
  }

  func creation(
    _ typeID: String, _ arguments: [PickleValue], _ keywords: [String: PickleValue]
  ) -> ManagerRequest {
    ManagerRequest(
      name: "create", arguments: [PickleValue(typeID)] + arguments,
      keywords: keywords.sorted { $0.key < $1.key })
  }

  /// The server has counted the reference of the client that it made the object for: the proxy takes it over.
  func created(_ typeID: String, _ answer: ManagerAnswer) throws(MultiprocessingError) -> ManagerProxy {
    guard case .value(let value) = answer, let parts = value.elements, parts.count == 2,
      let id = parts[0].text, let names = parts[1].elements
    else {
      throw MultiprocessingError(
        .unexpected("expected the number and the methods of the new object; found \(answer)"),
        address: address)
    }
    let token = ManagerToken(typeID: typeID, address: address, id: id)
    return ManagerProxy(token, names.compactMap(\.text), self)
  }

  /// Whether the object lives in this manager. If a manager listens on a TCP port, its clients may know its host by another
  /// name.
  func isOwn(_ token: ManagerToken) -> Bool {
    guard let other = Address(python: token.address) else { return false }
    if case .tcp(_, let port) = other.kind, case .tcp(_, let own) = address.kind { return port == own }
    return other == address
  }

  func count(in answer: ManagerAnswer) throws(MultiprocessingError) -> Int {
    if case .value(let value) = answer, let count = value.integer { return count }
    throw MultiprocessingError(
      .unexpected("expected an int as the result; found \(answer)"), address: address)
  }

  func text(in answer: ManagerAnswer) throws(MultiprocessingError) -> String {
    if case .value(let value) = answer, let text = value.text { return text }
    throw MultiprocessingError(.unexpected("expected a str as the result; found \(answer)"), address: address)
  }
}
