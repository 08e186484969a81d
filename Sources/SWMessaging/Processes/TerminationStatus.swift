/// How a process ended.
@nonexhaustive
public enum TerminationStatus: Hashable, Sendable {
  /// The process ended by itself, with this exit code: 0 to 255.
  case exited(Int32)
  /// A signal ended the process.
  case signalled(ProcessSignal)

  /// Whether the process exited with the code 0.
  public var isSuccess: Bool { self == .exited(0) }
}

extension TerminationStatus: CustomStringConvertible {
  public var description: String {
    switch self {
    case .exited(let code): "exited with code \(code)"
    case .signalled(let signal): "killed by \(signal)"
    }
  }
}
