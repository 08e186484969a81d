import CSysShim
import CSysTestSupport
import Glibc
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// Memory of the C library that nobody gives back. A sanitizer counts with a heap of its own, and finds these by itself.
///
/// Each happens so often that what is lost is more than what the runtime takes for itself meanwhile.
@Suite(.lastResort, .leavesNothing, .enabled(if: !isSanitized)) struct HeapTests {
  /// How many bytes more are in use after so many rounds.
  private static func growth(_ rounds: Int, of body: () async throws -> Void) async throws -> Int {
    // Some things are made once, and kept.
    for _ in 0..<10 { try await body() }
    let before = Int(swsys_heap_in_use())
    for _ in 0..<rounds { try await body() }
    return Int(swsys_heap_in_use()) - before
  }

  @Test func `what comes with a message is freed`() async {
    await #expect(processExitsWith: .success) {
      let (left, right) = try makeSocketPair(framing: .varInt)
      try right.setReceivesCredentials(true)
      // A message without descriptors has a kilobyte of room for them.
      let growth = try await Self.growth(1_000) {
        try await left.send("x")
        #expect(try await right.receiveMessage().credentials != nil)
      }
      #expect(growth < 300_000)
    }
  }

  // The first question has room for 64 groups, in 256 bytes. Only root may be in others than its own.
  @Test(.enabled(if: getuid() == 0)) func `a question for groups that had too little room is freed`() async {
    await #expect(processExitsWith: .success) {
      var ends: [Int32] = [-1, -1]
      #expect(unsafe swsys_pair_of_groups(&ends, 65) == 0)
      let growth = try await Self.growth(1_000) {
        var groups: UnsafeMutablePointer<UInt32>?
        #expect(unsafe swsys_peer_groups(ends[0], &groups) == 65)
        unsafe swsys_free_groups(groups)
      }
      #expect(growth < 100_000)
    }
  }

  @Test func `what a thread was told is freed`() async {
    await #expect(processExitsWith: .success) {
      let count = swsys_thread_count()
      let growth = try await Self.growth(4_000) {
        #expect(unsafe swsys_start_thread({ _ in }, nil, "sw-test") == 0)
        // The thread is gone, or nearly so.
        await eventually { swsys_thread_count() < count + 4 }
      }
      #expect(growth < 100_000, "32 bytes are 128,000")
    }
  }

  @Test func `a wake-up without a descriptor frees its word`() async {
    await #expect(processExitsWith: .success) {
      let growth = try await Self.growth(10_000) { _ = WakeUp.withoutDescriptor() }
      #expect(growth < 100_000, "16 bytes are 160,000")
    }
  }

  @Test func `a queue of a reactor that was long gives its memory back`() async {
    await #expect(processExitsWith: .success) {
      final class Work: ReactorWork {
        func drive() {}
        func driveOffloaded() {}
      }
      let work = Work()
      var machines: [ReactorState<Int>] = []
      let growth = try await Self.growth(100) {
        var machine = ReactorState<Int>()
        // 32 KiB, which is not more than malloc takes from its heap; and then both stacks of the queue are short.
        for count in [2_000, 1, 1] {
          for _ in 0..<count { _ = machine.call(work) }
          var none: [PollerEvent] = []
          machine.woke(&none)
          while case .drive = machine.next(.immediately) {}
        }
        machines.append(machine)
      }
      #expect(machines.count == 110)
      #expect(growth < 1_000_000, "a queue of each is 3,200,000")
    }
  }
}
