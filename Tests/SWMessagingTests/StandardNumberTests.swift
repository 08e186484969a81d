import CSysShim
import Foundation
import Glibc
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import Testing

/// In a program that was started with a standard stream closed (`prog <&-`, `prog >&-`), the next file that anybody
/// opens becomes that stream: a print then goes into it.
@Suite struct StandardNumberTests {
  @Test func `what the library opens for itself is nobody's standard stream`() async {
    await #expect(processExitsWith: .success) {
      let (left, right) = try makeSocketPair(framing: .varInt)
      for number in 0...2 as ClosedRange<Int32> { close(number) }
      // The reactor starts, and a thread waits.
      _ = try? await left.receive(timeout: .milliseconds(1))
      try await TestThread { _ = try? left.blocking.receive(timeout: .milliseconds(1)) }.value
      for number in 0...2 as ClosedRange<Int32> {
        let info = (try? String(contentsOfFile: "/proc/self/fdinfo/\(number)", encoding: .utf8)) ?? ""
        #expect(!info.contains("data: ffffffffffffffff"), "the reactor's epoll is number \(number)")
        #expect(!info.contains("eventfd-count"), "a wake-up is number \(number)")
      }
      withExtendedLifetime(right) {}
    }
  }

  /// Nothing else runs in this process that could take the numbers.
  @Test func `pipes, pairs and wake-ups are made above the standard streams`() async {
    await #expect(processExitsWith: .success) { () async throws in
      for number in 0...2 as ClosedRange<Int32> { close(number) }
      var numbers = [swsys_eventfd(), swsys_epoll_create()]
      func add(_ pair: consuming DescriptorPair) {
        numbers += [pair.first.release().rawValue, pair.second.release().rawValue]
      }
      add(try .pipe())
      for kind in [SocketPairKind.unix, .unixDatagrams, .tcp] { add(try .sockets(kind)) }
      #expect(numbers.allSatisfy { $0 > 2 }, "\(numbers)")
    }
  }
}
