/// Where in a child process its end of the channel lies.
@nonexhaustive
public enum ChildChannel: Hashable, Sendable {
  /// One end of a Unix stream socket pair, under this number. The child is told the number by the
  /// environment variable `SOCKETWRAPPER_FD`.
  case descriptor(Int32)

  /// The child's standard input and output: two pipes. It inherits the standard error.
  case standardStreams

  /// The environment variable that tells a child the number of its descriptor.
  public static var variable: String { "SOCKETWRAPPER_FD" }
}
