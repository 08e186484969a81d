/// What the program says to who started it.
enum ExitStatus: Int32 {
  case success = 0
  case usage = 1
  case inputOutput = 2
  /// The stream broke the framing, or one of its messages was not understood.
  case broken = 3
  case truncated = 5
}

/// Why the program ends before its work is done.
struct Failure: Error {
  let status: ExitStatus
  let message: String

  init(_ status: ExitStatus, _ message: String) {
    self.status = status
    self.message = message
  }
}

/// Nobody reads standard output any more: there is nothing left to do, and nothing to complain of.
struct OutputClosed: Error {}

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
