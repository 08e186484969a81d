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

  /// `ppoll` refuses more descriptors than RLIMIT_NOFILE allows. A sandbox sets that to 0 when all is open that
  /// will be needed.
  @Test(.disabled(if: isSanitized)) func `a blocked thread sleeps where no descriptor may be opened`() async {
    await #expect(processExitsWith: .success) {
      let (left, right) = try makeSocketPair(framing: .varInt)
      let thread = TestThread { () -> UInt64 in
        // The wake-up has its descriptor already.
        _ = try? left.blocking.receive(timeout: .milliseconds(1))
        var limit = rlimit(rlim_cur: 0, rlim_max: 0)
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let before = swsys_thread_cpu()
        _ = try? left.blocking.receive(timeout: .milliseconds(500))
        return swsys_thread_cpu() - before
      }
      let used = try await thread.value
      #expect(used < 250_000_000, "of 500 ms it was busy for \(used / 1_000_000)")
      withExtendedLifetime(right) {}
    }
  }

  /// Replacing a standard stream takes a descriptor more, for a moment.
  @Test func `a standard stream is replaced where no descriptor is left`() async {
    await #expect(processExitsWith: .success) {
      var limit = rlimit(rlim_cur: 64, rlim_max: 64)
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let pair = try DescriptorPair.pipe()
      let input = try pair.first.withDescriptor { try $0.duplicate(as: FileDescriptor(rawValue: 0)) }
      while swsys_duplicate(0, 3) >= 0 {}
      do { _ = OwnedDescriptor(adopting: input) }
      var (status, null) = (stat(), stat())
      let isOpen = unsafe fstat(0, &status) == 0
      let isThere = unsafe stat("/dev/null", &null) == 0
      #expect(isOpen && isThere && status.st_rdev == null.st_rdev)
      withExtendedLifetime(pair) {}
    }
  }
}
