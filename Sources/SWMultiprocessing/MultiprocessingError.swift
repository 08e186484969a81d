internal import SWFraming
public import SWIO
public import SWMessaging
public import SWPickle

/// Why a connection to Python's `multiprocessing`, or a call of a manager, failed.
public struct MultiprocessingError: Error, Sendable {
  /// Why it failed.
  @nonexhaustive
  public enum Reason: Sendable {
    /// The handshake failed. The connection is closed.
    case authentication(AuthenticationFailure)
    /// The connection could not be made, or failed, or the call's time ran out, or the call was cancelled. A method of a
    /// manager's object may have been called, or may be running.
    case connection(EndpointError)
    /// Python answered with an exception. The connection goes on.
    case remote(RemoteFailure)
    /// The peer sent a message that the protocol does not provide for. The text says what was expected and what was found.
    case unexpected(String)
    /// An argument has no form in Python, or the request could not be encoded. Nothing was sent.
    case encoding(any Error)
    /// The result is not of the type that was asked for, or could not be read. The method has been called.
    case decoding(any Error)
  }

  /// Why it failed.
  public var reason: Reason
  /// The address of the connection, if it is known: of the listener, on both sides.
  public var address: Address?

  /// An error with a reason, and the address if it is known.
  public init(_ reason: Reason, address: Address? = nil) {
    self.reason = reason
    self.address = address
  }
}

extension MultiprocessingError: CustomStringConvertible {
  /// The address and the reason, for people.
  public var description: String {
    let text =
      switch reason {
      case .authentication(let error): error.description
      case .connection(let error): error.description
      case .remote(let error): error.description
      case .unexpected(let text): text
      case .encoding(let error): "cannot encode the call: \(error)"
      case .decoding(let error): "cannot decode the result: \(error)"
      }
    return address.map { "\($0): \(text.shown(upTo: 2000))" } ?? text.shown(upTo: 2000)
  }
}

/// An exception of Python's, as a manager's server reports it.
public enum RemoteFailure: Error, Sendable {
  /// The exception that a method raised, as a value (`#ERROR`). No such object is made here, and nothing runs.
  case exception(PickleValue)
  /// The traceback of an error in the server (`#TRACEBACK`), such as a method that is not exposed.
  case traceback(String)
  /// The result of the method could not be pickled (`#UNSERIALIZABLE`); its traceback.
  case unserializable(String)

  /// The class of the exception, such as `builtins.ValueError`; nil of a traceback.
  public var exceptionName: PickleName? {
    if case .exception(let value) = self { return value.object?.name }
    return nil
  }

  /// The arguments of the exception, most often one text; empty of a traceback.
  public var arguments: [PickleValue] {
    if case .exception(let value) = self { return (value.object?.arguments).map { Array($0) } ?? [] }
    return []
  }
}

extension RemoteFailure: CustomStringConvertible {
  /// For people: the exception and its arguments, or the last line of the traceback. A long text is cut, and control
  /// characters are escaped.
  public var description: String {
    switch self {
    case .exception(let value):
      guard let name = exceptionName else { return "Python raised \(value.description.shown())" }
      let texts = arguments.map { $0.text ?? $0.description }
      let short = name.module == "builtins" ? name.name.shown(upTo: 200) : name.description
      return texts.isEmpty
        ? "Python raised \(short)" : "Python raised \(short): \(texts.joined(separator: ", ").shown())"
    case .traceback(let text): return "Python's server failed: \(Self.lastLine(of: text))"
    case .unserializable(let text):
      return "Python's server cannot pickle the result: \(Self.lastLine(of: text))"
    }
  }

  private static func lastLine(of text: String) -> String {
    text.split(separator: "\n").last.map { String($0).shown() } ?? "no traceback"
  }
}
