/// The number of a signal, as `kill(2)` takes it. Any number can be written as a literal.
public struct ProcessSignal: RawRepresentable, ExpressibleByIntegerLiteral, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }
  public init(integerLiteral value: Int32) { rawValue = value }

  /// SIGHUP.
  public static var hangUp: ProcessSignal { 1 }
  /// SIGINT, what Ctrl-C sends.
  public static var interrupt: ProcessSignal { 2 }
  /// SIGABRT, what a failed assertion sends.
  public static var abort: ProcessSignal { 6 }
  /// SIGKILL, which nothing can catch.
  public static var kill: ProcessSignal { 9 }
  /// SIGTERM, the polite request.
  public static var terminate: ProcessSignal { 15 }
}

extension ProcessSignal: CustomStringConvertible {
  public var description: String { "signal \(rawValue)" }
}
