public import SWIO
internal import SWMessaging
public import SWPickle
internal import Synchronization

/// An object that lives in a manager of Python's `multiprocessing`: its methods are called there.
///
/// ```swift
/// let dict = try await manager.create("dict")
/// try await dict.call("__setitem__", "a", 1)
/// let value = try await dict.call("get", "a", as: Int?.self)
/// let copy = try await dict.value()                            // a PickleValue
/// ```
///
/// A proxy holds one reference to its object. ``close(timeout:until:)`` gives it back. If a proxy is dropped without it,
/// the reference is given back in the background, without a guarantee.
///
/// Safe to use from any thread and task: calls may run at the same time, and Python runs each in a thread of its own.
///
/// Python lets a client call the methods that the manager exposes, and no others: those of `list` for example are
/// `__getitem__`, `append` and so on, and `__iter__` is not among them.
public final class ManagerProxy: Sendable {
  /// The name under which the object's type is registered.
  public let typeID: String
  /// The object's number in the manager.
  public let id: String
  /// The methods that the manager exposes; empty if they are not known.
  public let methods: [String]
  /// The client that the proxy belongs to.
  public let client: ManagerClient

  private let holdsReference = Guarded(true)

  /// Takes over a reference that the server has counted.
  init(_ token: ManagerToken, _ methods: [String], _ client: ManagerClient) {
    typeID = token.typeID
    id = token.id
    self.methods = methods
    self.client = client
  }

  deinit {
    if takeReference() { client.links.giveBack(id) }
  }

  // MARK: Calls

  /// Calls a method.
  ///
  /// - Parameters:
  ///   - method: its name.
  ///   - arguments: `Encodable` values, `PickleValue` among them.
  ///   - keywords: the keyword arguments.
  ///   - timeout: how long to wait at most; nil: without limit, except for the handshake.
  ///   - deadline: until when to wait at most. With a timeout, the earlier one counts.
  /// - Returns: the result of the method.
  /// - Throws: ``MultiprocessingError``. `remote` has the exception that the method raised. After `connection` the method may
  ///   have been called or not, and may still run. `unexpected`: the result is an object that stays in the manager;
  ///   ``callForProxy(_:_:keywords:timeout:until:)`` takes those.
  @discardableResult
  public func call<each Argument: Encodable & Sendable>(
    _ method: String, _ arguments: repeat each Argument, keywords: [String: PickleValue] = [:],
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> PickleValue {
    let request = request(method, try client.encoded(repeat each arguments), keywords)
    return try value(await client.links.callMethod(request, CallLimit(timeout, deadline).deadline), method)
  }

  /// Calls a method whose result is decoded as a type of Swift's. Otherwise like
  /// ``call(_:_:keywords:timeout:until:)``.
  ///
  /// - Throws: `decoding` too.
  public func call<Result: Decodable, each Argument: Encodable & Sendable>(
    _ method: String, _ arguments: repeat each Argument, keywords: [String: PickleValue] = [:],
    as type: Result.Type, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> Result {
    let value = try await call(
      method, repeat each arguments, keywords: keywords, timeout: timeout, until: deadline)
    return try decoded(type, value)
  }

  /// Calls a method whose result stays in the manager, as an object of its own. Otherwise like
  /// ``call(_:_:keywords:timeout:until:)``.
  ///
  /// - Throws: `unexpected` if the result is a value.
  public func callForProxy<each Argument: Encodable & Sendable>(
    _ method: String, _ arguments: repeat each Argument, keywords: [String: PickleValue] = [:],
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> ManagerProxy {
    let request = request(method, try client.encoded(repeat each arguments), keywords)
    return try proxy(await client.links.callMethod(request, CallLimit(timeout, deadline).deadline), method)
  }

  /// A copy of the object itself, if Python can pickle it (`#GETVALUE`).
  ///
  /// - Throws: ``MultiprocessingError``.
  public func value(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> PickleValue {
    try await call("#GETVALUE", timeout: timeout, until: deadline)
  }

  /// A copy of the object itself, decoded as a type of Swift's.
  ///
  /// - Throws: ``MultiprocessingError``.
  public func value<Result: Decodable>(
    as type: Result.Type, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> Result {
    try decoded(type, await value(timeout: timeout, until: deadline))
  }

  /// The names of the methods that the manager exposes, as the manager says them now.
  ///
  /// - Throws: ``MultiprocessingError``.
  public func exposedMethods(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> [String] {
    try names(in: await client.links.call(methodsRequest, CallLimit(timeout, deadline).deadline))
  }

  /// The proxy as a value for Python: an argument of a call of this manager, such as an element for a list of
  /// proxies. Python gets a reference of its own.
  ///
  /// Python 3.8 refuses it: there `AutoProxy`, for which it stands, cannot be nested.
  public var pickleValue: PickleValue { PickledProxy(token: token, methods: methods).value }

  /// Gives the reference back. Calls throw `remote` then if it was the last one. Idempotent.
  ///
  /// - Throws: ``MultiprocessingError``. After an error the reference may be left in the manager.
  public func close(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(MultiprocessingError) {
    guard takeReference() else { return }
    _ = try await client.links.call(.decrement(id), CallLimit(timeout, deadline).deadline)
  }

  /// The same calls, blocking. Not usable from async code.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public var blocking: BlockingManagerProxy { BlockingManagerProxy(proxy: self) }
}

/// The blocking view of a proxy.
public struct BlockingManagerProxy: Sendable {
  let proxy: ManagerProxy

  /// Blocking form of ``ManagerProxy/call(_:_:keywords:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @discardableResult
  public func call<each Argument: Encodable & Sendable>(
    _ method: String, _ arguments: repeat each Argument, keywords: [String: PickleValue] = [:],
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> PickleValue {
    let request = proxy.request(method, try proxy.client.encoded(repeat each arguments), keywords)
    return try proxy.value(answer(request, CallLimit(timeout, deadline)), method)
  }

  /// Blocking form of ``ManagerProxy/call(_:_:keywords:as:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func call<Result: Decodable, each Argument: Encodable & Sendable>(
    _ method: String, _ arguments: repeat each Argument, keywords: [String: PickleValue] = [:],
    as type: Result.Type, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> Result {
    let value = try call(method, repeat each arguments, keywords: keywords, timeout: timeout, until: deadline)
    return try proxy.decoded(type, value)
  }

  /// Blocking form of ``ManagerProxy/callForProxy(_:_:keywords:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func callForProxy<each Argument: Encodable & Sendable>(
    _ method: String, _ arguments: repeat each Argument, keywords: [String: PickleValue] = [:],
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> ManagerProxy {
    let request = proxy.request(method, try proxy.client.encoded(repeat each arguments), keywords)
    return try proxy.proxy(answer(request, CallLimit(timeout, deadline)), method)
  }

  /// Blocking form of ``ManagerProxy/value(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func value(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> PickleValue {
    try call("#GETVALUE", timeout: timeout, until: deadline)
  }

  /// Blocking form of ``ManagerProxy/value(as:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func value<Result: Decodable>(
    as type: Result.Type, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> Result {
    try proxy.decoded(type, value(timeout: timeout, until: deadline))
  }

  /// Blocking form of ``ManagerProxy/exposedMethods(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func exposedMethods(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> [String] {
    try proxy.names(
      in: proxy.client.links.callBlocking(proxy.methodsRequest, CallLimit(timeout, deadline).deadline))
  }

  /// Blocking form of ``ManagerProxy/close(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func close(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(MultiprocessingError) {
    guard proxy.takeReference() else { return }
    _ = try proxy.client.links.callBlocking(.decrement(proxy.id), CallLimit(timeout, deadline).deadline)
  }

  @available(*, noasync)
  private func answer(_ request: ManagerRequest, _ limit: CallLimit) throws(MultiprocessingError)
    -> ManagerAnswer
  {
    try proxy.client.links.callMethodBlocking(request, limit.deadline)
  }
}

extension ManagerProxy {
  fileprivate var token: ManagerToken { ManagerToken(typeID: typeID, address: client.address, id: id) }

  fileprivate var methodsRequest: ManagerRequest {
    ManagerRequest(name: "get_methods", arguments: [token.value])
  }

  /// Whether there was a reference to return.
  fileprivate func takeReference() -> Bool {
    holdsReference.withLock { holds in
      defer { holds = false }
      return holds
    }
  }

  fileprivate func request(
    _ method: String, _ arguments: [PickleValue], _ keywords: [String: PickleValue]
  ) -> ManagerRequest {
    ManagerRequest(
      id: id, name: method, arguments: arguments, keywords: keywords.sorted { $0.key < $1.key })
  }

  fileprivate func value(
    _ answer: ManagerAnswer, _ method: String
  ) throws(MultiprocessingError) -> PickleValue {
    switch answer {
    case .value(let value): return value
    case .proxy(let token, let methods):
      // This proxy returns the reference when it is released.
      _ = ManagerProxy(token, methods, client)
      throw MultiprocessingError(
        .unexpected("expected a value as the result of \(method); found an object that stays in the manager"),
        address: client.address)
    }
  }

  fileprivate func proxy(
    _ answer: ManagerAnswer, _ method: String
  ) throws(MultiprocessingError) -> ManagerProxy {
    switch answer {
    case .proxy(let token, let methods): return ManagerProxy(token, methods, client)
    case .value(let value):
      throw MultiprocessingError(
        .unexpected(
          "expected an object that stays in the manager as the result of \(method); found \(value.shortText)"),
        address: client.address)
    }
  }

  fileprivate func decoded<Result: Decodable>(
    _ type: Result.Type, _ value: PickleValue
  ) throws(MultiprocessingError) -> Result {
    do {
      return try client.options.decoder.decode(type, from: value)
    } catch {
      throw MultiprocessingError(.decoding(error), address: client.address)
    }
  }

  fileprivate func names(in answer: ManagerAnswer) throws(MultiprocessingError) -> [String] {
    if case .value(let value) = answer, let elements = value.elements { return elements.compactMap(\.text) }
    throw MultiprocessingError(
      .unexpected("expected names of methods as the result; found \(answer)"), address: client.address)
  }
}
