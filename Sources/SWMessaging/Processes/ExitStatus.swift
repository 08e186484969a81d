/// How a child process ended.
public enum ExitStatus: Hashable, Sendable {
  /// It ended by itself, with this exit code: 0 to 255.
  case exited(Int32)
  /// A signal ended it.
  case signalled(ProcessSignal)

  /// It exited with the code 0.
  public var isSuccess: Bool { self == .exited(0) }
}

extension ExitStatus: CustomStringConvertible {
  public var description: String {
    switch self {
    case .exited(let code): "exited with code \(code)"
    case .signalled(let signal): "killed by \(signal)"
    }
  }
}
