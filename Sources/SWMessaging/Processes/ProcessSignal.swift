/// The number of a signal, as `kill(2)` takes it. Any number can be written as a literal.
public struct ProcessSignal: RawRepresentable, ExpressibleByIntegerLiteral, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }
  public init(integerLiteral value: Int32) { rawValue = value }

  /// SIGHUP: the terminal is gone, or, to many daemons, "read the configuration again".
  public static var hangUp: ProcessSignal { 1 }
  /// SIGINT: Ctrl-C sends it.
  public static var interrupt: ProcessSignal { 2 }
  /// SIGQUIT: Ctrl-\ sends it.
  public static var quit: ProcessSignal { 3 }
  /// SIGABRT: a failed assertion sends it.
  public static var abort: ProcessSignal { 6 }
  /// SIGKILL: no process can catch, ignore or block it.
  public static var kill: ProcessSignal { 9 }
  /// SIGTERM: the usual request to end.
  public static var terminate: ProcessSignal { 15 }
}

extension ProcessSignal: CustomStringConvertible {
  public var description: String { "signal \(rawValue)" }
}

/// The processes that a signal is for.
public struct SignalTarget: Hashable, Sendable {
  enum Kind: Hashable, Sendable {
    case process
    case group
  }

  let kind: Kind

  /// The child alone.
  public static var process: SignalTarget { SignalTarget(kind: .process) }

  /// The child and its descendants: every member of the process group that the child was given. Only for a child
  /// with a group of its own, see ``Command/group``: this process's own group is never signalled.
  public static var group: SignalTarget { SignalTarget(kind: .group) }
}
