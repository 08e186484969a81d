import SWTesting

/// The parameters of one world of a service, drawn from a seed.
struct ServiceSchedule {
  /// Whether the server is the one for threads.
  var isBlocking: Bool
  /// How many connections may be open at once.
  var limit: Int
  var clients: Int
  /// The most requests that a client sends.
  var mostRequests: Int
  /// Whether handlers begin with a greeting, and how long it may take.
  var greets: Bool
  var greetingTime: Int
  /// The probability that a handler throws after a request.
  var failure: Double
  /// The probability that a handler computes for some time after a request.
  var work: Double
  /// The probability that a handler does not heed its cancellation, and that a client neither sends nor ends.
  var stubbornness: Double
  var silence: Double
  /// The probability that the kernel takes long to close a descriptor.
  var lateClose: Double
  /// The most errors of accept, and whether one is for good.
  var acceptErrors: Int
  var failsForGood: Bool
  /// How long the end waits for connections, and for those that are cancelled.
  var patience: Int
  static let grace = 1_000
  /// Whether the listener is told to finish before it serves.
  var finishesBefore: Bool
  var interlude: Double
  var mostDepth: Int
  var disturbance: Double
  /// The probability that an end is a close of the listener.
  var close: Double

  init(_ generator: inout SeededGenerator) {
    func pick<Value>(_ values: [Value]) -> Value { values[Int(generator.next() % UInt64(values.count))] }
    isBlocking = pick([false, true])
    limit = pick([1, 1, 2, 3])
    clients = pick([1, 2, 4, 8])
    mostRequests = pick([0, 1, 3])
    greets = pick([false, false, true])
    greetingTime = pick([10, 100, 10_000])
    failure = pick([0, 0, 0.2])
    work = pick([0, 0.3])
    stubbornness = pick([0, 0, 0.3])
    silence = pick([0, 0.3, 0.6])
    lateClose = pick([0, 0, 0.3])
    acceptErrors = pick([0, 0, 2, 6])
    failsForGood = pick([false, false, false, true])
    patience = pick([50, 500])
    finishesBefore = pick([false, false, false, false, false, true])
    interlude = pick([0, 0.2, 0.5])
    mostDepth = pick([1, 2, 3])
    disturbance = pick([0.02, 0.1, 0.3])
    close = pick([0, 0.3])
  }
}
