public import SWPickle

/// An object that a ``ManagerServer`` serves to Python: methods by name.
///
/// ```swift
/// let counter = Counter()
/// let object = ManagedObject(methods: [
///   "increment": { call in .value(PickleValue(counter.increment(by: try call.argument(0, as: Int.self)))) },
///   "fail": { _ in throw PythonException("ValueError", "no such thing") },
/// ])
/// ```
///
/// Methods may run at the same time, for several clients or for several threads of one.
public struct ManagedObject: Sendable {
  /// A method. An error that it throws reaches Python: a ``PythonException`` as that exception, any other as a
  /// `RemoteError` with its text.
  public typealias Method = @Sendable (ManagerCall) async throws -> ManagerResult

  /// The methods by name. Python's proxy has them all.
  public var methods: [String: Method]
  /// Makes a copy of the object, for Python's `_getvalue()`. If it is nil, `_getvalue()` raises an error.
  public var value: (@Sendable () async throws -> PickleValue)?
  /// Makes the result of Python's `str(proxy)`.
  public var text: @Sendable () -> String

  /// - Parameters:
  ///   - methods: the methods by name.
  ///   - value: makes a copy of the object; nil: the object cannot be copied.
  ///   - text: makes the result of `str(proxy)`.
  public init(
    methods: [String: Method], value: (@Sendable () async throws -> PickleValue)? = nil,
    text: @escaping @Sendable () -> String = { "an object of a Swift program" }
  ) {
    self.methods = methods
    self.value = value
    self.text = text
  }
}

/// The result of a method of a ``ManagedObject``.
public enum ManagerResult: Sendable {
  /// A value, which Python gets a copy of.
  case value(PickleValue)
  /// An object that stays here: Python gets a proxy. The type must be registered in Python's manager under that name, and need not
  /// be in the ``ManagerServer``.
  case object(ManagedObject, typeID: String)

  /// Python's None.
  public static var none: ManagerResult { .value(.none) }

  /// The value of an `Encodable` one.
  ///
  /// - Throws: `EncodingError` if Python has no such value.
  public static func encoding(_ value: some Encodable) throws -> ManagerResult {
    .value(try PickleEncoder().encodeValue(value))
  }
}

/// The arguments of a call: of a method, or of a closure that makes an object.
public struct ManagerCall: Sendable {
  /// The name of the method, or of the type of which an object is to be made.
  public let name: String
  /// The positional arguments.
  public let arguments: [PickleValue]
  /// The keyword arguments.
  public let keywords: [String: PickleValue]

  init(_ request: ManagerRequest, droppingArguments count: Int = 0) {
    name = count == 0 ? request.name : request.arguments.first?.text ?? request.name
    arguments = Array(request.arguments.dropFirst(count))
    keywords = Dictionary(request.keywords) { _, last in last }
  }

  /// A positional argument as a type of Swift's.
  ///
  /// - Throws: ``PythonException`` TypeError if there is no such argument, or if it is of another type: so a method
  ///   that lets it pass raises it in Python.
  public func argument<Value: Decodable>(_ index: Int, as type: Value.Type = Value.self) throws -> Value {
    guard arguments.indices.contains(index) else {
      throw PythonException("TypeError", "\(name) takes an argument \(index), and got \(arguments.count)")
    }
    return try decode(arguments[index], type, "argument \(index)")
  }

  /// A keyword argument as a type of Swift's; nil if it is not given.
  ///
  /// - Throws: ``PythonException`` TypeError if it is of another type.
  public func keyword<Value: Decodable>(_ keyword: String, as type: Value.Type = Value.self) throws -> Value?
  {
    try keywords[keyword].map { try decode($0, type, "the argument \(keyword)") }
  }

  private func decode<Value: Decodable>(_ value: PickleValue, _ type: Value.Type, _ place: String) throws
    -> Value
  {
    do {
      return try PickleDecoder().decode(type, from: value)
    } catch {
      throw PythonException("TypeError", "\(name): \(place) is not of the right type: \(value.shortText)")
    }
  }
}

/// An exception that Python is to raise where it called.
public struct PythonException: Error, Sendable {
  /// The exception: an object, or a class.
  public let value: PickleValue

  /// - Parameter value: an exception as a value, such as `.object(PickleName("app.errors", "NotFound"), ["no such id"])`. The
  ///   class must be importable in Python.
  public init(_ value: PickleValue) { self.value = value }

  /// One of Python's own exceptions with a text, such as `ValueError`.
  public init(_ name: String, _ text: String) { value = .exception(name, PickleValue(text)) }
}
