import CSysShim
import CSysTestSupport
import Foundation
import Glibc
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import Testing

/// How waiting treats errors of the kernel, and a full table of descriptors.
@Suite(.serialized) struct ReactorErrorTests {
  /// While any timer is set, a reactor that believes the error hears of nothing, and spins.
  @Test func `timed waits work where a sandbox refuses epoll_pwait2`() throws {
    let answer = try run(probePath(), ["timed"])
    #expect(answer.status == 0)
    if answer.values("filter") == ["none"] { return }
    #expect(answer.values("message") == ["in time"])
    let used = answer.values("reactor-milliseconds").first.flatMap { Int($0) } ?? .max
    #expect(used < 500, "of a second of waiting")
  }

  /// A kernel refuses `ppoll` if RLIMIT_NOFILE is below the number of descriptors, or if a sandbox does not allow it.
  @Test(.disabled(if: isSanitized)) func `a blocked thread sleeps where the kernel refuses to poll`()
    async throws
  {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let thread = TestThread { () -> UInt64 in
      #expect(swsys_forbid_here(Int32(SWSYS_CALL_PPOLL)) == 0)
      let before = swsys_thread_cpu()
      _ = try? left.blocking.receive(timeout: .milliseconds(500))
      return swsys_thread_cpu() - before
    }
    let used = try await thread.value
    // It makes about sixty attempts.
    #expect(used < 100_000_000, "of 500 ms it was busy for \(used / 1_000_000)")
    withExtendedLifetime(right) {}
  }

  /// Replacing a standard stream takes a descriptor more, for a moment.
  @Test func `a standard stream is replaced where no descriptor is left`() async {
    await #expect(processExitsWith: .success) {
      limitDescriptors(64)
      let isNull = try withOwnDescriptors { () -> Bool in
        var ends: [Int32] = [-1, -1]
        guard unsafe swsys_pipe(&ends) == 0, dup2(ends[0], 0) == 0 else { return false }
        while swsys_duplicate(0, 3) >= 0 {}
        do { _ = OwnedDescriptor(adopting: .standardInput) }
        var (status, null) = (stat(), stat())
        let isOpen = unsafe fstat(0, &status) == 0
        let isThere = unsafe stat("/dev/null", &null) == 0
        return isOpen && isThere && status.st_rdev == null.st_rdev
      }
      #expect(isNull)
    }
  }
}
