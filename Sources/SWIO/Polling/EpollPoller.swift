internal import CSysShim
internal import Synchronization
package import SystemPackage

/// Waits with epoll(7), edge-triggered, on any number of threads.
///
/// For each event the kernel wakes one waiting thread, the one that came last. The wake-up is an eventfd and the alarm is a
/// timerfd. Both are watched edge-triggered, so each write and each expiry is one event, and neither needs to be read.
package final class EpollPoller: Poller {
  private let epoll: Int32
  private let notifier: Int32
  private let timer: Int32

  private static var notifierKey: UInt64 { .max }
  /// Few enough for the stack.
  private static var mostEvents: Int { 64 }

  /// - Throws: `Errno` if the kernel has no descriptors for it.
  package init() throws(Errno) {
    var made: [Int32] = []
    do throws(Errno) {
      for make in [swsys_epoll_create, swsys_eventfd, swsys_timer] {
        let number = make()
        if number < 0 { throw Errno(rawValue: -number) }
        made.append(number)
      }
      for (number, key) in [(made[1], Self.notifierKey), (made[2], PollerEvent.alarmKey)] {
        let result = swsys_epoll_add_edge(made[0], number, key)
        if result < 0 { throw Errno(rawValue: -result) }
      }
    } catch {
      for number in made { _ = swsys_close(number) }
      throw error
    }
    (epoll, notifier, timer) = (made[0], made[1], made[2])
  }

  deinit {
    _ = swsys_close(epoll)
    _ = swsys_close(notifier)
    _ = swsys_close(timer)
  }

  package func add(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> WatchOutcome {
    let result = swsys_epoll_add(epoll, descriptor, key, Int32(interest.rawValue))
    if result == 0 { return .watched }
    let errno = Errno(rawValue: -result)
    return errno == .notPermitted ? .alwaysReady : .failed(errno)
  }

  package func modify(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> Errno? {
    let result = swsys_epoll_modify(epoll, descriptor, key, Int32(interest.rawValue))
    return result < 0 ? Errno(rawValue: -result) : nil
  }

  package func remove(_ descriptor: Int32, key: UInt64) { _ = swsys_epoll_delete(epoll, descriptor) }

  package func wait(until deadline: Deadline, into events: inout [PollerEvent]) {
    if find(within: deadline.remaining, &events) < 0 {
      // No action of a reactor leads here, but if something does, it must not spin.
      _ = swsys_wait(-1, 0, notifier, Self.pause)
    }
  }

  package func look(into events: inout [PollerEvent]) -> Bool { find(within: 0, &events) > 0 }

  private func find(within nanoseconds: Int64, _ events: inout [PollerEvent]) -> Int32 {
    unsafe withUnsafeTemporaryAllocation(of: swsys_event.self, capacity: Self.mostEvents) { found in
      guard let first = found.baseAddress else { return 0 }
      let count = unsafe swsys_epoll_wait(epoll, first, Int32(found.count), nanoseconds)
      for index in 0..<max(0, Int(count)) {
        let event = unsafe found[index]
        if event.key == Self.notifierKey { continue }
        events.append(
          PollerEvent(
            key: event.key, readiness: Readiness(rawValue: UInt8(truncatingIfNeeded: event.readiness))))
      }
      return count
    }
  }

  private static var pause: Int64 { 10_000_000 }

  package func wake() { _ = swsys_eventfd_signal(notifier) }

  package var servesManyWaiters: Bool { true }

  package func setAlarm(_ deadline: Deadline) { _ = swsys_timer_set(timer, deadline.nanoseconds) }
}
