/// The result that the program reports to its parent.
enum ExitStatus: Equatable, Sendable {
  case success
  case usage
  /// The peer, the connection, a file or a standard stream failed.
  case connection
  /// The stream broke the framing, or a message was not understood, or cannot be sent.
  case broken
  case timedOut
  case truncated
  /// A signal ended it before everything was handled.
  case interrupted(Int32)

  var code: Int32 {
    switch self {
    case .success: 0
    case .usage: 1
    case .connection: 2
    case .broken: 3
    case .timedOut: 4
    case .truncated: 5
    // As shells report it.
    case .interrupted(let signal): 128 + signal
    }
  }
}

/// Why the program ends before its work is done.
struct Failure: Error {
  let status: ExitStatus
  let message: String
  /// Whether it ends one connection alone, where there are several.
  let isOfPeer: Bool

  init(_ status: ExitStatus, _ message: String, isOfPeer: Bool = true) {
    self.status = status
    self.message = message
    self.isOfPeer = isOfPeer
  }
}

/// No process reads standard output any more: there is nothing left to do, and nothing to complain of.
struct OutputClosed: Error {}

/// A signal told the program to end, and there was something left to do.
struct Interrupted: Error {}

/// Bytes that are not what they should be: a line of input, or a payload.
struct Misread: Error {
  /// Counted from the line's, or the payload's, first byte.
  var offset: Int
  var expected: String
  var found: String

  init(at offset: Int, expected: String, found: String) {
    self.offset = offset
    self.expected = expected
    self.found = found
  }
}
