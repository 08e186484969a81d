/// The place in a child process where its end of the channel lies.
@nonexhaustive
public enum ChildChannel: Hashable, Sendable {
  /// One end of a Unix stream socket pair, under this number. The environment variable `SOCKETWRAPPER_FD`
  /// tells the child the number.
  case descriptor(Int32)

  /// The child's standard input and output: two pipes.
  case standardStreams

  /// The environment variable that tells a child the number of its descriptor.
  public static var variable: String { "SOCKETWRAPPER_FD" }
}
