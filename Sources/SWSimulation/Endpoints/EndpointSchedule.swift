import SWTesting

/// The parameters of one world of endpoints, drawn from a seed.
struct EndpointSchedule {
  /// Whether the ends look like descriptors, or like in-process transports.
  var isDescriptor: Bool
  /// Whether the descriptors behave like stream sockets: a short receive means that no data is left, and each arrival of
  /// data, and the end, makes an edge.
  var isStreamSocket: Bool
  /// Whether a receive takes in all that the descriptor has, and hands it out in parts, as TLS does. The descriptor does not
  /// show the bytes that have been taken in.
  var isHoarding: Bool
  /// Whether a sender may finish sending as soon as it has sent its last message.
  var endsEarly: Bool
  /// The probability that an attempt fails for one item alone, as on a datagram socket.
  var itemFailure: Double
  /// Whether both ends send and receive, or one sends and the other receives.
  var isDuplex: Bool
  var capacity: Int
  var plan: SimulationPlan
  /// Whether an attempt that finds nothing has received everything that was sent.
  var findsAll: Bool { plan.spuriousWouldBlock == 0 && plan.stall == 0 }
  var callerCount: Int
  /// The most calls that a caller makes.
  var mostCalls: Int
  /// The size of the largest frames, in bytes.
  var mostBytes: Int
  /// Whether receivers of messages and of raw bytes share an endpoint.
  var isRawMixed: Bool
  /// The number of callers that belong to the main thread: a task and a thread.
  var mainCallers: Int
  /// The probability that others run inside an attempt, a scanner or a wake-up, and how deep.
  var interlude: Double
  var mostDepth: Int
  /// The probability of a disturbance before a step.
  var disturbance: Double
  /// The most closes, half-closes and attempts to detach.
  var endings: Int
  var cancellations: Int
  /// The probability that a call has a deadline, and that the deadline is zero.
  var deadline: Double
  var zeroDeadline: Double
  var registrationFailure: Double
  /// The probability that an attempt hangs, although it has not been left to a helper.
  var hang: Double
  /// The number of the reactor's workers.
  var workerCount: Int
  /// The probability that a task on the workers shares an executor that runs one job at a time.
  var serialTask: Double
  /// The probability that a task on a worker computes for a long time.
  var longTask: Double

  init(_ generator: inout SeededGenerator) {
    func pick<Value>(_ values: [Value]) -> Value { values[Int(generator.next() % UInt64(values.count))] }
    func chance(_ probability: Double) -> Bool { Double(generator.next() >> 11) * 0x1p-53 < probability }

    isDescriptor = chance(0.5)
    isDuplex = chance(0.4)
    isRawMixed = chance(0.25)
    let isLarge = !isRawMixed && chance(0.02)
    mostBytes = isLarge ? 40_000 : isRawMixed ? 7 : pick([0, 1, 3, 8, 30, 300])
    // Transferring thousands of bytes one by one would only take long.
    let tiny = mostBytes > 100 ? [16, 64] : [1, 2, 3, 5, 8]
    capacity = isLarge ? pick([1_000, 30_000, 100_000]) : pick(tiny + [16, 64, 1_000])
    // Sometimes there are many callers, so a driver reaches the limit of places that it serves for others.
    let isCrowd = !isLarge && chance(0.01)
    callerCount = isCrowd ? pick([24, 90]) : pick([2, 3, 3, 4, 4, 5, 6, 8])
    mostCalls = isCrowd ? 1 : pick([1, 2, 3, 4])
    if isCrowd { capacity = max(capacity, 64) }
    mainCallers = chance(0.4) ? 2 : 0
    interlude = pick([0, 0.1, 0.3, 0.6])
    mostDepth = pick([1, 2, 3])
    disturbance = pick([0, 0.03, 0.1, 0.3])
    endings = chance(0.3) ? pick([1, 2, 3]) : 0
    cancellations = chance(0.5) ? pick([1, 2, 5]) : 0
    deadline = pick([0, 0.3, 0.7])
    zeroDeadline = pick([0, 0.3])
    registrationFailure = chance(0.03) ? 0.3 : 0

    plan = SimulationPlan(seed: generator.next())
    plan.stallLength = nil
    plan.shortReceive = pick([0, 0.2, 0.7])
    plan.shortSend = pick([0, 0.2, 0.7])
    plan.interrupted = pick([0, 0, 0.1])
    plan.spuriousWouldBlock = pick([0, 0.1, 0.3])
    plan.crossing = pick([0, 0, 0.1, 0.3])
    plan.waitingForSignal = pick([0, 0, 0.1, 0.3])
    plan.blockedFinish = pick([0, 0.5])
    plan.offload = pick([0, 0, 0.1])
    plan.spuriousReadiness = pick([0, 0.1])
    plan.retryLater = pick([0, 0, 0, 0.1, 0.3])
    plan.stall = pick([0, 0, 0.1])
    isStreamSocket = isDescriptor && chance(0.6)
    endsEarly = isStreamSocket && chance(0.5)
    if endsEarly {
      // Few callers wait, without a deadline, for short frames, and much happens while one of them looks at its frame. This
      // leads to attempts that may be left out.
      isDuplex = false
      capacity = 1_000
      mostBytes = min(mostBytes, 30)
      callerCount = pick([2, 3])
      mainCallers = 0
      mostCalls = 12
      deadline = 0
      disturbance = 0
      interlude = 0.6
      mostDepth = 1
      plan.shortSend = 0
      plan.spuriousWouldBlock = 0
      plan.spuriousReadiness = 0
      plan.stall = 0
      plan.blockedFinish = 0
    }
    itemFailure = chance(0.15) ? 0.1 : 0
    if isStreamSocket {
      plan.shortReceive = 0
      plan.crossing = 0
      plan.waitingForSignal = 0
      plan.offload = 0
    }
    workerCount = pick([1, 1, 2, 3])
    longTask = pick([0, 0.3])
    plan.hangUp = chance(0.05) ? 0.03 : 0
    plan.reset = chance(0.05) ? 0.02 : 0
    serialTask = pick([0, 0.5, 1])
    hang = chance(0.2) ? 0.1 : 0
    isHoarding = isDescriptor && !isStreamSocket && chance(0.4)
    if isHoarding, chance(0.5) {
      // Threads receive many short frames, and find nothing at first, so that attempts are left out.
      isDuplex = false
      capacity = 1_000
      mostBytes = min(mostBytes, 3)
      callerCount = pick([2, 3])
      mainCallers = 0
      mostCalls = 24
      deadline = 0
      endings = 0
      plan.shortReceive = 0.7
      plan.retryLater = 0
      plan.offload = 0
    }
  }
}
