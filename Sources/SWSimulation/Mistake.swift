/// What can be made to go wrong on purpose, outside of what is under test, to show that the checks notice.
package enum Mistake: String, CaseIterable, Sendable {
  /// A transport does not tell that a receive may get on.
  case losesSignal
  /// The reactor forgets who asked to be driven.
  case dropsCall
  /// A blocked thread is not woken.
  case dropsWakeUp
  /// A parked task is not resumed.
  case dropsResumption
  /// A deadline does not fire.
  case dropsTimer
  /// Registering does not tell that the descriptor is ready already.
  case registersSilently
  /// The transport delivers a byte that nobody sent.
  case corruptsByte
  /// The transport accepts a byte and says that it did not.
  case sendsTwice
  /// The transport is closed by somebody else, too.
  case closesTwice
  /// A caller's memory changes while its send is under way.
  case changesMemory
  /// The reactor tells of the end of a stream as if it were data.
  case foldsEnds
  /// An error of one item is told as one of the connection.
  case widensItemErrors
  /// A half that the reactor drives receives without a budget.
  case ignoresBudget
  /// A worker of the reactor that sleeps is not woken for work.
  case wakesNoWorker
  /// The alarm of the reactor's workers is not set.
  case forgetsAlarm
}
