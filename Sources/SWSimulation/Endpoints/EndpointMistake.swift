/// A seeded mistake outside the code under test. It shows that the checks notice faults.
package enum EndpointMistake: String, CaseIterable, Sendable {
  /// A transport does not signal that a receive may make progress.
  case losesSignal
  /// The reactor forgets a half that asked to be driven.
  case dropsCall
  /// A blocked thread is not woken.
  case dropsWakeUp
  /// A parked task is not resumed.
  case dropsResumption
  /// A deadline does not fire.
  case dropsTimer
  /// Registering does not tell that the descriptor is ready already.
  case registersSilently
  /// The transport delivers a byte that was never sent.
  case corruptsByte
  /// The transport accepts a byte and says that it did not.
  case sendsTwice
  /// The transport is closed a second time.
  case closesTwice
  /// A caller's memory changes while its send is under way.
  case changesMemory
  /// The reactor reports the end of a stream as if it were data.
  case foldsEnds
  /// An error of one item is reported as one of the connection.
  case widensItemErrors
  /// A half that the reactor drives receives without a budget.
  case ignoresBudget
  /// A sleeping worker of the reactor is not woken for work.
  case wakesNoWorker
  /// The alarm of the worker that waits for events is not set.
  case forgetsAlarm
  /// The alarm after which another worker waits for events is not set.
  case forgetsFollowersAlarm
  /// A serial job is enqueued as if others could run at the same time.
  case forgetsSerial
}
