/// A step towards the end of a child process, and the time that the child gets to end then.
public struct EndStep: Hashable, Sendable {
  enum Action: Hashable, Sendable {
    case finishInput
    case signal(ProcessSignal)
  }

  let action: Action
  let patience: Duration

  /// Finishes sending on the channel and on the endpoint of the standard input, if the child has any: most programs
  /// that read requests end when they see the end of them.
  public static func finishInput(within patience: Duration) -> EndStep {
    EndStep(action: .finishInput, patience: patience)
  }

  /// Sends a signal to the child, or to its group.
  public static func signal(_ signal: ProcessSignal, within patience: Duration) -> EndStep {
    EndStep(action: .signal(signal), patience: patience)
  }
}

extension [EndStep] {
  /// The end of the input, then SIGTERM, with two seconds for each.
  public static var standard: [EndStep] {
    [.finishInput(within: .seconds(2)), .signal(.terminate, within: .seconds(2))]
  }
}
