import SWTesting
import SystemPackage

/// The shape of a listener's world, as a seed makes it.
struct ListenerSchedule {
  var callers: Int
  var mostCalls: Int
  var clients: Int
  /// So many clients may connect in one step.
  var burst: Int
  /// How likely a connection fails before it is accepted, and how likely the policy refuses it.
  var peerFailure: Double
  var refusal: Double
  /// How many descriptors may be open, and how many the rest of the program has until it closes them.
  var limit: Int
  var foreign: Int
  /// The errno with which the kernel reports a shortage.
  var shortage: Errno
  /// The listening descriptor becomes unusable.
  var failsForGood: Bool
  /// Whether the listener has made its socket itself, so that it can have the kernel refuse clients, and how likely it lends
  /// the descriptor.
  var isOwn: Bool
  var lending: Double
  /// How likely others run inside an attempt or a wake-up.
  var interlude: Double
  /// How likely something unasked for happens before a step.
  var disturbance: Double
  /// How many closes and ends in good order there may be.
  var endings: Int
  /// How likely a call has a deadline, and how likely that is none at all.
  var deadline: Double
  var zeroDeadline: Double

  init(_ generator: inout SeededGenerator) {
    func pick<Value>(_ values: [Value]) -> Value { values[Int(generator.next() % UInt64(values.count))] }
    callers = pick([1, 2, 3, 4, 6])
    mostCalls = pick([1, 2, 4])
    clients = pick([1, 3, 6, 12])
    burst = pick([1, 1, 2, 6])
    peerFailure = pick([0, 0.2, 0.6])
    refusal = pick([0, 0, 0.3])
    limit = pick([1, 2, 1_000, 1_000])
    foreign = pick([0, 0, 1, 2])
    shortage = pick([.tooManyOpenFiles, .tooManyOpenFilesInSystem, .noBufferSpace, .noMemory])
    failsForGood = pick([false, false, false, false, true])
    isOwn = pick([false, true])
    lending = pick([0, 0, 0.5])
    interlude = pick([0, 0.2, 0.5])
    disturbance = pick([0, 0.05, 0.2])
    endings = pick([0, 0, 1])
    deadline = pick([0, 0.3, 0.6])
    zeroDeadline = pick([0, 0.3])
    // A crowd whose connections all come to nothing: more of them than one attempt may take.
    if generator.next() % 32 == 0 { (clients, burst, peerFailure, refusal) = (150, 150, 0.1, 1) }
  }
}
