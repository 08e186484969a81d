internal import SWIO
internal import SWPickle

// The messages between a manager's clients and its server: pickles, one request and one answer at a time.
//
//   request   (ident, function or method, args, kwds); ident is None for the server's own functions
//   answer    (kind, value)
//
//   #RETURN          the result
//   #ERROR           the exception that the method raised
//   #PROXY           (names of methods, Token): the result stays in the server, as an object of its own
//   #TRACEBACK       the text of an error in the server
//   #UNSERIALIZABLE  the text of an error in pickling the answer
//
// A connection begins with one of the server's own functions. After its answer the server closes the connection; after
// accept_connection it takes requests for objects, until the client closes it.
//
// Source: CPython 3.8 to 3.13, Lib/multiprocessing/managers.py: dispatch, Server, BaseProxy, Token, RebuildProxy.

/// A call of a method, or of one of the server's own functions.
struct ManagerRequest: Sendable {
  /// The object; nil: the server itself.
  var id: String?
  var name: String
  var arguments: [PickleValue] = []
  var keywords: [(String, PickleValue)] = []

  var value: PickleValue {
    .tuple([
      id.map { PickleValue($0) } ?? .none, PickleValue(name), .tuple(arguments),
      .dict(keywords.map { (PickleValue($0), $1) }),
    ])
  }
}

extension ManagerRequest {
  /// - Returns: nil if the value is no request.
  init?(_ value: PickleValue) {
    guard let parts = value.elements, parts.count == 4, let name = parts[1].text,
      parts[0].isNone || parts[0].text != nil, let arguments = parts[2].elements, let pairs = parts[3].pairs
    else { return nil }
    var keywords: [(String, PickleValue)] = []
    for (key, value) in pairs {
      guard let key = key.text else { return nil }
      keywords.append((key, value))
    }
    self.init(id: parts[0].text, name: name, arguments: Array(arguments), keywords: keywords)
  }
}

/// An answer that is not an error.
enum ManagerAnswer: Sendable {
  case value(PickleValue)
  case proxy(ManagerToken, methods: [String])

  /// - Throws: `remote` for an error of the server's, `unexpected` if the value is no answer.
  init(_ value: PickleValue) throws(MultiprocessingError) {
    guard let parts = value.elements, parts.count == 2, let kind = parts[0].text else {
      throw MultiprocessingError(
        .unexpected("expected a tuple of a kind and a value as the answer; found \(value.shortText)"))
    }
    let content = parts[1]
    switch kind {
    case "#RETURN": self = .value(content)
    case "#ERROR": throw MultiprocessingError(.remote(.exception(content)))
    case "#TRACEBACK": throw MultiprocessingError(.remote(.traceback(try Self.text(content, of: kind))))
    case "#UNSERIALIZABLE":
      throw MultiprocessingError(.remote(.unserializable(try Self.text(content, of: kind))))
    case "#PROXY":
      guard let parts = content.elements, parts.count == 2, let names = parts[0].elements,
        let token = ManagerToken(parts[1])
      else {
        throw MultiprocessingError(
          .unexpected("expected names of methods and a Token with #PROXY; found \(content.shortText)"))
      }
      self = .proxy(token, methods: names.compactMap(\.text))
    default:
      throw MultiprocessingError(
        .unexpected(
          "expected #RETURN, #ERROR, #PROXY, #TRACEBACK or #UNSERIALIZABLE; found \(value.shortText)"))
    }
  }

  private static func text(_ value: PickleValue, of kind: String) throws(MultiprocessingError) -> String {
    guard let text = value.text else {
      throw MultiprocessingError(.unexpected("expected a str with \(kind); found \(value.shortText)"))
    }
    return text
  }
}

/// Python's `Token`: the identity and the address of an object.
struct ManagerToken: Sendable {
  var typeID: String
  var address: PickleValue
  var id: String

  private static let name = PickleName("multiprocessing.managers", "Token")

  init(typeID: String, address: Address, id: String) {
    self.typeID = typeID
    self.address = address.pythonValue ?? .none
    self.id = id
  }

  /// - Returns: nil for another value.
  init?(_ value: PickleValue) {
    guard let object = value.object, object.name == Self.name, let parts = object.state?.elements,
      parts.count == 3, let typeID = parts[0].text, let id = parts[2].text
    else { return nil }
    self.typeID = typeID
    address = parts[1]
    self.id = id
  }

  var value: PickleValue {
    .object(Self.name, isNew: true, state: .tuple([PickleValue(typeID), address, PickleValue(id)]))
  }
}

/// Python's pickled proxy: a call of `RebuildProxy`.
struct PickledProxy: Sendable {
  var token: ManagerToken
  var methods: [String]

  private static let rebuild = PickleName("multiprocessing.managers", "RebuildProxy")
  private static let autoProxy = PickleName("multiprocessing.managers", "AutoProxy")

  init(token: ManagerToken, methods: [String]) {
    self.token = token
    self.methods = methods
  }

  /// - Returns: nil for another value.
  init?(_ value: PickleValue) {
    guard let object = value.object, object.name == Self.rebuild, object.arguments.count == 4,
      let token = ManagerToken(object.arguments[1])
    else { return nil }
    self.token = token
    methods = object.arguments[3]["exposed"]?.elements?.compactMap(\.text) ?? []
  }

  var value: PickleValue {
    let exposed: PickleValue = .tuple(methods.map { PickleValue($0) })
    return .object(
      Self.rebuild,
      [.name(Self.autoProxy), token.value, "pickle", methods.isEmpty ? [:] : ["exposed": exposed]])
  }
}

extension PickleValue {
  /// For errors: the beginning of the description.
  var shortText: String {
    let text = description
    return text.utf8.count <= 200 ? text : "\(text.prefix(200))…"
  }
}
