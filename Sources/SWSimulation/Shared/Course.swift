import SWIO
import SWTesting

/// The course of one schedule: chance, which comes from the seed alone, the clock, the trace and the verdict.
// Invariant: everything happens on the single thread of the simulation.
final class Course<Mistake: Equatable & Sendable>: @unchecked Sendable {
  private var generator: SeededGenerator
  fileprivate let mistake: Mistake?
  private let isTracing: Bool
  /// The probability that others run in the middle of a step, and how deep.
  fileprivate let interlude: (probability: Double, mostDepth: Int)
  /// The probability of a disturbance before a step.
  fileprivate let disturbance: Double
  fileprivate let mostSteps: Int

  fileprivate(set) var clock = Deadline(nanoseconds: 1)
  private(set) var failure: String?
  private(set) var traceHash: UInt64 = 0xcbf2_9ce4_8422_2325
  fileprivate(set) var stepCount = 0
  fileprivate(set) var depth = 0
  /// Whether the schedule is being ended, so no disturbance happens any more.
  fileprivate(set) var isCalm = false
  /// How many stages of the end have begun.
  fileprivate var stage = 0

  /// - Parameter generator: has drawn the schedule already.
  init(
    _ generator: SeededGenerator, _ mistake: Mistake?, interlude: (probability: Double, mostDepth: Int),
    disturbance: Double, mostSteps: Int, isTracing: Bool
  ) {
    self.generator = generator
    self.mistake = mistake
    self.interlude = interlude
    self.disturbance = disturbance
    self.mostSteps = mostSteps
    self.isTracing = isTracing
  }

  func next() -> UInt64 { generator.next() }

  fileprivate func fail(_ explanation: String) {
    guard failure == nil else { return }
    failure = "\(explanation) (step \(stepCount))"
    if isTracing { print("FAILED: \(explanation)") }
  }

  fileprivate func trace(_ event: StaticString, _ first: Int, _ second: Int) {
    for number in [event.utf8CodeUnitCount, first, second, depth] {
      traceHash = (traceHash ^ UInt64(truncatingIfNeeded: number)) &* 0x100_0000_01b3
    }
    if isTracing {
      print("\(stepCount) \(String(repeating: "  ", count: depth))\(event) \(first) \(second)")
    }
  }
}

/// All objects of one schedule, and the scheduler. It picks an actor for one step at a time, on one thread. Attempts,
/// wake-ups and code of users let others run in the middle. Those run to the end of their step first.
protocol SimulatedWorld: AnyObject, Sendable {
  associatedtype Mistake: Equatable & Sendable
  /// Something that takes steps.
  associatedtype Actor

  var course: Course<Mistake> { get }

  /// The actors that can take a step now.
  func enabledActors() -> [Actor]
  func step(_ actor: Actor)
  /// Lets something happen that nobody asked for.
  func disturb()
  /// Lets others run inside a wake-up.
  func interruptWakeUp()

  func checkInvariants()
  /// Checks, while no actor can take a step, that everything that waits has a reason to.
  func checkQuiescence()
  func checkEnd()

  /// The next instant at which something happens by itself.
  func nextInstant() -> Deadline
  /// Whether the clock may advance to that instant.
  func mayAdvance() -> Bool
  /// Brings the schedule nearer to its end, because no actor can do anything. Returns false if everything has ended.
  ///
  /// - Parameter stage: how many times it has been called, with this call. The first stage is calm.
  func windUp(_ stage: Int) -> Bool
}

extension SimulatedWorld {
  func mayAdvance() -> Bool { true }

  // MARK: Chance

  func below(_ limit: Int) -> Int { Int(course.next() % UInt64(limit)) }

  func chance(_ probability: Double) -> Bool {
    probability > 0 && Double(course.next() >> 11) * 0x1p-53 < probability
  }

  /// Whether the seeded mistake happens at this point.
  func makes(_ candidate: Mistake) -> Bool { course.mistake == candidate && chance(0.5) }

  /// Whether the seeded mistake happens every time.
  func always(_ candidate: Mistake) -> Bool { course.mistake == candidate }

  // MARK: The clock

  var clock: Deadline { course.clock }

  func clock(after ticks: Int) -> Deadline { Deadline(nanoseconds: clock.nanoseconds + UInt64(ticks)) }

  func advanceClock(by ticks: Int) { course.clock = clock(after: ticks) }

  /// Advances the clock to the next instant, because no actor can do anything before it.
  private func advanceClock() -> Bool {
    let next = nextInstant()
    if next == .never || next <= clock || !mayAdvance() { return false }
    course.clock = next
    trace("the clock advances")
    return true
  }

  // MARK: The scheduler

  var isCalm: Bool { course.isCalm }

  /// Whether others run in the middle of a step now.
  func interrupts() -> Bool {
    course.failure == nil && course.depth <= course.interlude.mostDepth
      && chance(course.interlude.probability)
  }

  /// Lets others run in the middle of a step.
  func runOthers(atMost count: Int = 3) { for _ in 0...below(count) where !runOne() { return } }

  /// Picks an actor and takes its step. Returns false if there is none.
  private func runOne() -> Bool {
    guard course.failure == nil else { return false }
    course.stepCount += 1
    guard course.stepCount < course.mostSteps else {
      fail("it never ends")
      return false
    }
    if !isCalm, chance(course.disturbance) { disturb() }
    let enabled = enabledActors()
    if enabled.isEmpty { return false }
    let actor = enabled[below(enabled.count)]
    course.depth += 1
    step(actor)
    course.depth -= 1
    checkInvariants()
    return course.failure == nil
  }

  /// Plays the schedule to its end, and then everything that is left.
  func play() {
    while course.failure == nil {
      if runOne() { continue }
      if course.failure != nil { break }
      checkQuiescence()
      if advanceClock() { continue }
      course.stage += 1
      trace("winding up", course.stage)
      course.isCalm = true
      if !windUp(course.stage) { break }
    }
    if course.failure == nil { checkEnd() }
  }

  // MARK: Verdict

  func check(_ condition: Bool, _ claim: @autoclosure () -> String) { if !condition { fail(claim()) } }

  func fail(_ explanation: String) { course.fail(explanation) }

  func trace(_ event: StaticString, _ first: Int = 0, _ second: Int = 0) {
    course.trace(event, first, second)
  }
}
