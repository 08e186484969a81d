internal import CSysShim
internal import Synchronization
package import SystemPackage

/// Waits with epoll(7), edge-triggered.
@safe package final class EpollPoller: Poller {
  private let epoll: Int32
  private let notifier: Int32
  // Invariant: touched by the waiting thread alone.
  private nonisolated(unsafe) let found: UnsafeMutableBufferPointer<swsys_event>

  private static var notifierKey: UInt64 { .max }
  private static var mostEvents: Int { 128 }

  /// - Throws: `Errno` when the kernel has no descriptor to give for it, or none to wake it with.
  package init() throws(Errno) {
    epoll = try Self.made(swsys_epoll_create())
    let notifier = swsys_eventfd()
    let result = notifier < 0 ? notifier : swsys_epoll_add_level(epoll, notifier, Self.notifierKey)
    guard result >= 0 else {
      _ = swsys_close(epoll)
      if notifier >= 0 { _ = swsys_close(notifier) }
      throw Errno(rawValue: -result)
    }
    self.notifier = notifier
    unsafe found = .allocate(capacity: Self.mostEvents)
  }

  private static func made(_ result: Int32) throws(Errno) -> Int32 {
    if result < 0 { throw Errno(rawValue: -result) }
    return result
  }

  deinit {
    _ = swsys_close(epoll)
    _ = swsys_close(notifier)
    unsafe found.deallocate()
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
    guard let first = unsafe found.baseAddress else { return }
    let count = unsafe swsys_epoll_wait(epoll, first, Int32(found.count), deadline.remaining)
    if count < 0 {
      // Nothing that a reactor does leads here. It must not spin all the same.
      _ = swsys_wait(-1, 0, notifier, Self.pause)
      return
    }
    for index in 0..<Int(count) {
      let event = unsafe found[index]
      if event.key == Self.notifierKey {
        _ = swsys_eventfd_drain(notifier)
      } else {
        events.append(
          PollerEvent(
            key: event.key, readiness: Readiness(rawValue: UInt8(truncatingIfNeeded: event.readiness))))
      }
    }
  }

  private static var pause: Int64 { 10_000_000 }

  package func wake() { _ = swsys_eventfd_signal(notifier) }
}
