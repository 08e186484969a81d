/// What a ``SimulatedTransport`` does to those who use it: how often attempts move less than they could,
/// fail to move what they could, or fail for good. Each chance is a number from 0 (never) to 1 (at every
/// attempt), and what happens follows from the seed and the attempts alone.
///
/// A value; use it from anywhere.
public struct SimulationPlan: Sendable {
  /// Of what is chosen at random. The same seed and the same attempts make the same choices.
  public var seed: UInt64

  /// That a receive brings only some of what is there.
  public var shortReceive = 0.0
  /// That a send accepts only some of what there is room for.
  public var shortSend = 0.0
  /// That an attempt fails with `Errno.interrupted`.
  public var interrupted = 0.0
  /// That an attempt would block although it could get on. Readiness is signalled at once.
  public var spuriousWouldBlock = 0.0
  /// That an attempt waits for the other direction's readiness, which comes at once.
  public var crossing = 0.0
  /// That an attempt waits for the transport's signal alone, and its direction stands still as with ``stall``.
  public var waitingForSignal = 0.0
  /// That the half-close would block, and sending stands still as with ``stall``. Where it may, it needs room, too.
  public var blockedFinish = 0.0
  /// That an attempt is one that may take long.
  public var offload = 0.0
  /// That an attempt is followed by readiness that nobody needs and that is not true.
  public var spuriousReadiness = 0.0
  /// That a direction stands still from now on, until ``stallLength`` has passed or somebody calls
  /// ``SimulatedTransport/tick()``.
  public var stall = 0.0
  /// How long a direction stands still; nil: until ``SimulatedTransport/tick()``. The deadlines are kept
  /// by the reactor, whose thread then delivers the readiness.
  public var stallLength: Duration? = .microseconds(200)
  /// That the connection breaks at a send: what was accepted before can still be received, then the
  /// stream ends, at both ends; sending is a broken pipe from now on.
  public var hangUp = 0.0
  /// That the connection is reset at an attempt: what is under way is lost, and every attempt fails with
  /// `Errno.connectionReset`.
  public var reset = 0.0

  /// Nothing happens but what the capacity brings with it; set what should.
  public init(seed: UInt64) { self.seed = seed }

  /// Everything that a caller should not notice, often; nothing that breaks the connection.
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
