import CSysShim
import CSysTestSupport
import SWIO
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// The wake-up of one blocked thread, with an eventfd and where none is to be had.
@Suite(.lastResort, .leavesNothing) struct WakeUpTests {
  private static let makers: [@Sendable () -> WakeUp] = [{ WakeUp.take() }, { WakeUp.withoutDescriptor() }]

  @Test(arguments: [0, 1]) func `a signal that came before the wait ends it, once`(_ maker: Int) {
    let wakeUp = Self.makers[maker]()
    defer { WakeUp.giveBack(wakeUp) }
    wakeUp.signal()
    wakeUp.signal()
    wakeUp.wait(watching: nil, for: [], until: .never)
    let deadline = Deadline.after(.milliseconds(60))
    var waits = 0
    while !deadline.hasPassed {
      wakeUp.wait(watching: nil, for: [], until: deadline)
      waits += 1
    }
    #expect(waits < 10, "the signal is used up")
    wakeUp.wait(watching: nil, for: [], until: .immediately)
    wakeUp.signal()
    wakeUp.wait(watching: nil, for: [], until: .never)
  }

  @Test(arguments: [0, 1]) func `a wait for the wake-up alone lasts until its deadline`(_ maker: Int) {
    let wakeUp = Self.makers[maker]()
    defer { WakeUp.giveBack(wakeUp) }
    let deadline = Deadline.after(.milliseconds(60))
    wakeUp.wait(watching: nil, for: [], until: deadline)
    #expect(deadline.hasPassed, "the wait was cut into slices")
  }

  @Test(arguments: [0, 1]) func `a thread that waits is woken`(_ maker: Int) async throws {
    let wakeUp = Self.makers[maker]()
    defer { WakeUp.giveBack(wakeUp) }
    let rounds = Guarded(0)
    let back = WakeUp.take()
    defer { WakeUp.giveBack(back) }
    let thread = TestThread {
      for round in 1...1_000 {
        while rounds.withLock({ $0 }) < 2 * round - 1 { wakeUp.wait(watching: nil, for: [], until: .never) }
        rounds.withLock { $0 += 1 }
        back.signal()
      }
    }
    let other = TestThread {
      for round in 1...1_000 {
        rounds.withLock { $0 += 1 }
        wakeUp.signal()
        while rounds.withLock({ $0 }) < 2 * round { back.wait(watching: nil, for: [], until: .never) }
      }
    }
    try await thread.value
    try await other.value
    #expect(rounds.withLock { $0 } == 2_000)
  }

  /// A pipe that nothing is written to.
  private static func silence() throws -> DescriptorPair { try DescriptorPair.pipe() }

  @Test(arguments: [0, 1_000] as [UInt64])
  func `without a descriptor a thread that sleeps before another descriptor is woken, too`(_ spinTime: UInt64)
    async throws
  {
    let pipe = try Self.silence()
    let reading = pipe.first.withDescriptor { $0.rawValue }
    let wakeUp = WakeUp.withoutDescriptor()
    let isDone = Guarded(false)
    let id = Guarded<Int32?>(nil)
    let thread = TestThread {
      id.withLock { $0 = swsys_thread_id() }
      while !isDone.withLock({ $0 }) {
        wakeUp.wait(watching: reading, for: .readable, until: .never, spinning: spinTime)
      }
    }
    await eventually { id.withLock { $0 }.map { swsys_thread_sleeps($0) } ?? false }
    isDone.withLock { $0 = true }
    wakeUp.signal()
    try await thread.value
    withExtendedLifetime(pipe) {}
  }

  @Test
  func `without a descriptor a signal that came before the wait is seen before another descriptor, too`()
    async throws
  {
    let pipe = try Self.silence()
    let reading = pipe.first.withDescriptor { $0.rawValue }
    let sleeps = try await TestThread { () -> Int in
      let wakeUp = WakeUp.withoutDescriptor()
      let before = swsys_sleep_count()
      for deadline in [Deadline](repeating: .never, count: 100) + .init(repeating: .immediately, count: 100) {
        if deadline == .never { wakeUp.signal() }
        wakeUp.wait(watching: reading, for: .readable, until: deadline)
      }
      return swsys_sleep_count() - before
    }.value
    #expect(sleeps < 50, "each of a hundred waits slept for a while")
    withExtendedLifetime(pipe) {}
  }

  @Test func `a wait that spins first lasts until its deadline`() throws {
    let pipe = try Self.silence()
    let reading = pipe.first.withDescriptor { $0.rawValue }
    let wakeUp = WakeUp.take()
    defer { WakeUp.giveBack(wakeUp) }
    // Its last user may have been signalled late. Such a signal would end the wait.
    wakeUp.wait(watching: reading, for: .readable, until: .immediately)
    let deadline = Deadline.after(.milliseconds(20))
    wakeUp.wait(watching: reading, for: .readable, until: deadline, spinning: 1_000)
    #expect(deadline.hasPassed)
    withExtendedLifetime(pipe) {}
  }

  @Test func `wake-ups are kept for the next thread, 64 at most, and none without a descriptor`() async {
    // In a process of its own no other thread takes one.
    await #expect(processExitsWith: .success) {
      WakeUp.giveBack(.withoutDescriptor())
      let first = (0..<70).map { _ in WakeUp.take() }
      for wakeUp in first { WakeUp.giveBack(wakeUp) }
      let second = (0..<70).map { _ in WakeUp.take() }
      #expect(second.count { wakeUp in first.contains { $0 === wakeUp } } == 64)
    }
  }

  // MARK: Spinning

  /// How many spin at once, each inside the other's look.
  private static func nest(_ depth: Int = 0) -> Int {
    var deepest = depth
    let isFound = Spinning.spin(for: 0, until: .never) {
      deepest = nest(depth + 1)
      return true
    }
    #expect(isFound == (deepest > depth))
    return deepest
  }

  @Test func `at most half of the processors spin at a time`() async {
    await #expect(processExitsWith: .success) {
      let most = Int(swsys_processor_count()) / 2
      for _ in 0..<3 { #expect(Self.nest() == most) }
    }
  }

  @Test func `spinning ends with what is found, with its time, and at the deadline`() async {
    await #expect(processExitsWith: .success) {
      // No thread spins on a single processor.
      guard swsys_processor_count() > 1 else { return }
      var looks = 0
      #expect(
        Spinning.spin(for: .max / 4, until: .never) {
          looks += 1
          return looks == 3
        })
      #expect(looks == 3)
      for (time, deadline) in [(0, Deadline.never), (.max / 4, .immediately)] as [(UInt64, Deadline)] {
        looks = 0
        #expect(
          !Spinning.spin(for: time, until: deadline) {
            looks += 1
            return false
          })
        #expect(looks == 1)
      }
    }
  }
}
