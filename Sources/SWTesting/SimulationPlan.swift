/// The disturbances of a ``SimulatedTransport``: how often attempts move fewer bytes than they could, would block
/// without need, or fail. Each probability is a number from 0 (never) to 1 (at every attempt). The disturbances follow
/// from the seed and the attempts alone.
public struct SimulationPlan: Sendable {
  /// The seed of random choices. The same seed and the same attempts make the same choices.
  public var seed: UInt64

  /// The probability that a receive takes only some of the bytes that are there.
  public var shortReceive = 0.0
  /// The probability that a send accepts fewer bytes than there is room for.
  public var shortSend = 0.0
  /// The probability that an attempt fails with `Errno.interrupted`.
  public var interrupted = 0.0
  /// The probability that an attempt would block although it could make progress. Readiness is signalled at once.
  public var spuriousWouldBlock = 0.0
  /// The probability that an attempt waits for the readiness of the other direction, which comes at once.
  public var crossing = 0.0
  /// The probability that an attempt waits for the transport's signal alone, and its direction stalls as with ``stall``.
  public var waitingForSignal = 0.0
  /// The probability that the half-close would block, and sending stalls as with ``stall``. If it is not 0, a half-close
  /// also needs room.
  public var blockedFinish = 0.0
  /// The probability that an attempt may take long and is offloaded.
  public var offload = 0.0
  /// The probability that an attempt must be repeated after a pause. No readiness tells when it can make progress.
  public var retryLater = 0.0
  /// The probability that an attempt is followed by a false signal of readiness.
  public var spuriousReadiness = 0.0
  /// The probability that a direction stalls until ``stallLength`` has passed or ``SimulatedTransport/tick()`` is
  /// called.
  public var stall = 0.0
  /// The duration of a stall. If it is nil, the stall lasts until ``SimulatedTransport/tick()``. The reactor keeps the
  /// deadlines and delivers the readiness on its thread.
  public var stallLength: Duration? = .microseconds(200)
  /// The probability that the connection breaks at a send. Bytes that were accepted before can still be received; then
  /// the stream ends, at both ends. Later sends fail with a broken pipe.
  public var hangUp = 0.0
  /// The probability that the connection is reset at an attempt. Bytes under way are lost, and every later attempt fails
  /// with `Errno.connectionReset`.
  public var reset = 0.0

  /// Makes a plan without disturbances. Set the probabilities that a test needs.
  public init(seed: UInt64) { self.seed = seed }

  /// A plan with frequent disturbances that callers should not notice, and none that breaks the connection.
  public static func unsteady(seed: UInt64) -> SimulationPlan {
    var plan = SimulationPlan(seed: seed)
    plan.shortReceive = 0.3
    plan.shortSend = 0.3
    plan.interrupted = 0.05
    plan.spuriousWouldBlock = 0.1
    plan.spuriousReadiness = 0.05
    plan.stall = 0.02
    return plan
  }
}
