import CSysShim
import CSysTestSupport
import Glibc
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// The C shim by itself: its tables, its flags, and what it leaves open.
@Suite(.lastResort, .leavesNothing) struct ShimTests {
  /// Closes a descriptor that a test has made.
  private func close(_ number: Int32) { #expect(swsys_close(number) == 0) }

  private func pair(_ make: (UnsafeMutablePointer<Int32>) -> Int32) throws -> (Int32, Int32) {
    var ends: [Int32] = [-1, -1]
    let result = unsafe ends.withUnsafeMutableBufferPointer { ends in
      unsafe ends.baseAddress.map { unsafe make($0) } ?? -EINVAL
    }
    try #require(result == 0)
    return (ends[0], ends[1])
  }

  // MARK: Flags

  @Test func `every descriptor that the shim makes is close-on-exec, and above the standard streams`() throws {
    let pipe = try pair { unsafe swsys_pipe($0) }
    var numbers = [
      swsys_eventfd(), swsys_epoll_create(), pipe.0, pipe.1, swsys_duplicate(0, 3), swsys_duplicate(0, 100),
      swsys_reopen_nonblocking(pipe.0, O_RDONLY), swsys_open_for_child("/dev/null", O_RDONLY),
    ]
    for type in [swsys_sock_stream, swsys_sock_dgram, swsys_sock_seqpacket] {
      let sockets = try pair { unsafe swsys_unix_pair($0, type) }
      numbers += [sockets.0, sockets.1]
    }
    for isNewer in [false, true] {
      let sockets = try pair { unsafe swsys_tcp_pair($0, isNewer) }
      numbers += [sockets.0, sockets.1]
    }
    for number in numbers {
      #expect(number > 2)
      #expect(swsys_get_close_on_exec(number) == 1)
    }
    #expect(numbers[5] >= 100)
    // What it waits with must not block. What others may share must.
    #expect(swsys_is_nonblocking(numbers[0]) == 1)
    #expect(swsys_is_nonblocking(pipe.0) == 0 && swsys_is_nonblocking(pipe.1) == 0)
    #expect(swsys_is_nonblocking(numbers[6]) == 1)
    #expect(swsys_is_nonblocking(numbers[7]) == 0)
    for number in numbers { close(number) }
  }

  @Test func `flags are changed one at a time, and read as they are`() throws {
    let number = swsys_duplicate(0, 3)
    #expect(swsys_set_close_on_exec(number, false) == 0)
    #expect(swsys_get_close_on_exec(number) == 0)
    #expect(swsys_set_close_on_exec(number, true) == 0)
    #expect(swsys_get_close_on_exec(number) == 1)
    close(number)
    // A number that is not open is an error everywhere.
    let results = [
      swsys_close(number), swsys_duplicate(number, 3), swsys_get_close_on_exec(number),
      swsys_set_close_on_exec(number, true), swsys_access_mode(number), swsys_is_nonblocking(number),
      swsys_kind(number), swsys_set_no_delay(number, true), swsys_shutdown_send(number),
      swsys_eventfd_signal(number), swsys_eventfd_drain(number), swsys_set_receives_credentials(number, true),
      swsys_epoll_delete(number, 0), swsys_reopen_nonblocking(number, O_RDONLY),
    ]
    #expect(results.allSatisfy { $0 == -EBADF }, "\(results)")
    #expect(!swsys_keeps_packets(number) && !swsys_is_anonymous_pipe(number) && !swsys_is_terminal(number))
    #expect(!swsys_is_unix(number) && !swsys_is_tcp(number) && !swsys_is_udp(number))
    #expect(!swsys_glues_datagrams(number) && !swsys_is_canonical(number))
  }

  @Test(arguments: [O_RDONLY, O_WRONLY, O_RDWR])
  func `the access mode is what the descriptor was opened with`(_ mode: Int32) {
    let number = swsys_open_for_child("/dev/null", mode | O_APPEND)
    #expect(swsys_access_mode(number) == mode)
    close(number)
  }

  // MARK: Kinds

  @Test func `every kind of descriptor is told from the others`() throws {
    let pipe = try pair { unsafe swsys_pipe($0) }
    let stream = try pair { unsafe swsys_unix_pair($0, swsys_sock_stream) }
    let datagrams = try pair { unsafe swsys_unix_pair($0, swsys_sock_dgram) }
    let packets = try pair { unsafe swsys_unix_pair($0, swsys_sock_seqpacket) }
    let tcp = try pair { unsafe swsys_tcp_pair($0, false) }
    let tcp6 = try pair { unsafe swsys_tcp_pair($0, true) }
    let udp = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    let udp6 = socket(AF_INET6, Int32(SOCK_DGRAM.rawValue), 0)
    let file = swsys_open_for_child("/proc/self/exe", O_RDONLY)
    let null = swsys_open_for_child("/dev/null", O_RDONLY)
    let directory = swsys_open_for_child("/", O_RDONLY | O_DIRECTORY)
    let counter = swsys_eventfd()
    func kind(_ kind: swsys_kind) -> Int32 { Int32(kind.rawValue) }
    let table: [(Int32, Int32, String)] = [
      (pipe.0, kind(SWSYS_PIPE), ""), (stream.0, kind(SWSYS_STREAM_SOCKET), "unix"),
      (datagrams.0, kind(SWSYS_DATAGRAM_SOCKET), "unix"), (packets.0, kind(SWSYS_PACKET_SOCKET), "unix"),
      (tcp.0, kind(SWSYS_STREAM_SOCKET), "tcp"), (tcp.1, kind(SWSYS_STREAM_SOCKET), "tcp"),
      (tcp6.0, kind(SWSYS_STREAM_SOCKET), "tcp"), (udp, kind(SWSYS_DATAGRAM_SOCKET), "udp"),
      (udp6, kind(SWSYS_DATAGRAM_SOCKET), "udp"), (file, kind(SWSYS_ALWAYS_READY), ""),
      (null, kind(SWSYS_OTHER), ""), (directory, -EISDIR, ""), (counter, -EINVAL, ""),
    ]
    for (number, kind, protocolName) in table {
      #expect(swsys_kind(number) == kind)
      #expect(swsys_is_unix(number) == (protocolName == "unix"))
      #expect(swsys_is_tcp(number) == (protocolName == "tcp"))
      #expect(swsys_is_udp(number) == (protocolName == "udp"))
      #expect(swsys_is_anonymous_pipe(number) == (number == pipe.0))
      #expect(!swsys_keeps_packets(number) && !swsys_glues_datagrams(number) && !swsys_is_terminal(number))
    }
    // A description of one's own is made for pipes and for what is known to do nothing when it is opened.
    #expect(swsys_reopen_nonblocking(file, O_RDONLY) == -ENXIO)
    #expect(swsys_reopen_nonblocking(stream.0, O_RDWR) == -ENXIO)
    for ends in [pipe, stream, datagrams, packets, tcp, tcp6] {
      close(ends.0)
      close(ends.1)
    }
    for number in [udp, udp6, file, null, directory, counter] { close(number) }
  }

  @Test func `the ends of a pair are connected to each other`() throws {
    let pairs = [
      try pair { unsafe swsys_tcp_pair($0, false) }, try pair { unsafe swsys_tcp_pair($0, true) },
      try pair { unsafe swsys_unix_pair($0, swsys_sock_stream) },
    ]
    for (first, second) in pairs {
      for (from, to) in [(first, second), (second, first)] {
        #expect(swsys_poll_now(to, Int32(SWSYS_READABLE)) == 0)
        #expect(try FileDescriptor(rawValue: from).writeAll([7]) == 1)
        #expect(swsys_wait(to, Int32(SWSYS_READABLE), -1, -1) == 1)
        #expect(swsys_poll_now(to, Int32(SWSYS_READABLE)) == 1)
      }
      close(first)
      close(second)
    }
  }

  // MARK: Readiness

  @Test func `each bit of poll and epoll has its readiness`() {
    let (readable, writable) = (Int32(SWSYS_READABLE), Int32(SWSYS_WRITABLE))
    let (readClosed, writeClosed) = (Int32(SWSYS_READ_CLOSED), Int32(SWSYS_WRITE_CLOSED))
    let (failed, urgent) = (Int32(SWSYS_FAILED), Int32(SWSYS_URGENT))
    let table: [(Int32, Int32)] = [
      (POLLIN, readable), (POLLOUT, writable), (POLLPRI, readable | urgent),
      (0x2000 /* POLLRDHUP */, readable | readClosed), (POLLHUP, readClosed | writeClosed), (POLLERR, failed),
      (POLLNVAL, failed), (0, 0), (POLLIN | POLLOUT, readable | writable),
    ]
    for (bits, readiness) in table { #expect(swsys_poll_readiness(bits) == readiness, "\(bits)") }
    let receiving = Int16(POLLIN | POLLPRI | 0x2000)
    #expect(swsys_poll_mask(0) == 0)
    #expect(swsys_poll_mask(readable) == receiving)
    #expect(swsys_poll_mask(writable) == Int16(POLLOUT))
    #expect(swsys_poll_mask(readable | writable) == receiving | Int16(POLLOUT))
    #expect(swsys_poll_mask(readClosed | writeClosed | failed | urgent) == 0)
  }

  @Test func `a wait says which of the two is ready, for what it was asked`() throws {
    let ends = try pair { unsafe swsys_unix_pair($0, swsys_sock_stream) }
    let wake = swsys_eventfd()
    let (readable, writable) = (Int32(SWSYS_READABLE), Int32(SWSYS_WRITABLE))
    #expect(swsys_wait(ends.0, readable, wake, 0) == 0)
    #expect(swsys_wait(ends.0, writable, wake, -1) == 1)
    #expect(swsys_wait(-1, 0, wake, 0) == 0)
    #expect(swsys_eventfd_signal(wake) == 8)
    #expect(swsys_wait(ends.0, readable, wake, -1) == 2)
    #expect(swsys_wait(ends.0, readable | writable, wake, 1_000_000_000) == 3)
    #expect(swsys_wait(ends.0, writable, -1, 1_000_000_000) == 1)
    #expect(swsys_wait(-1, 0, wake, -1) == 2)
    #expect(swsys_eventfd_drain(wake) == 8)
    #expect(swsys_eventfd_drain(wake) == -EAGAIN)
    #expect(swsys_wait(-1, 0, wake, 1) == 0)
    // A hang-up is told whatever was asked for.
    close(ends.1)
    #expect(swsys_wait(ends.0, 0, wake, -1) == 1)
    #expect(swsys_poll_now(ends.0, writable) == 1)
    close(ends.0)
    close(wake)
  }

  /// Half a second, a second and a half: both parts of the time count.
  @Test(arguments: [1_000_000_000, 20_000_000] as [Int64])
  func `a wait for nothing takes its time, whichever call waits`(_ nanoseconds: Int64) async throws {
    let waits: [@Sendable () -> Int32] = [
      { swsys_wait(-1, 0, -1, nanoseconds) },
      { unsafe swsys_poll(nil, 0, nanoseconds) },
      {
        let epoll = swsys_epoll_create()
        defer { _ = swsys_close(epoll) }
        var event = swsys_event()
        return unsafe swsys_epoll_wait(epoll, &event, 1, nanoseconds)
      },
    ]
    let threads = waits.map { wait in
      TestThread { () -> (Int32, UInt64) in
        let start = swsys_now()
        return (wait(), swsys_now() - start)
      }
    }
    for thread in threads {
      let (result, duration) = try await thread.value
      #expect(result == 0)
      #expect(duration >= nanoseconds)
    }
  }

  @Test func `the clock is the kernel's monotonic one, in nanoseconds`() {
    func now() -> UInt64 {
      var time = timespec()
      unsafe clock_gettime(CLOCK_MONOTONIC, &time)
      return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
    let before = now()
    let between = swsys_now()
    #expect(before <= between && between <= now())
  }

  @Test func `many descriptors become ready at once, and each is told once`() throws {
    let epoll = swsys_epoll_create()
    let counters = (0..<200).map { _ in swsys_eventfd() }
    for (index, counter) in counters.enumerated() {
      #expect(swsys_epoll_add(epoll, counter, UInt64(index) << 32 | 5, Int32(SWSYS_READABLE)) == 0)
      #expect(swsys_eventfd_signal(counter) == 8)
    }
    var keys: [UInt64] = []
    while true {
      var events = [swsys_event](repeating: swsys_event(), count: 256)
      let count = unsafe swsys_epoll_wait(epoll, &events, 256, 0)
      if count == 0 { break }
      #expect(count == min(128, 200 - keys.count))
      #expect(events[..<Int(count)].allSatisfy { $0.readiness == UInt32(SWSYS_READABLE) })
      keys += events[..<Int(count)].map { $0.key }
    }
    #expect(keys.sorted() == (0..<200).map { UInt64($0) << 32 | 5 })
    // What was told is not told again, and what is no longer watched is not told at all.
    #expect(swsys_eventfd_signal(counters[0]) == 8)
    #expect(swsys_eventfd_signal(counters[1]) == 8)
    #expect(swsys_epoll_delete(epoll, counters[1]) == 0)
    var events = [swsys_event](repeating: swsys_event(), count: 4)
    #expect(unsafe swsys_epoll_wait(epoll, &events, 4, -1) == 1)
    #expect(events[0].key == 5)
    #expect(unsafe swsys_epoll_wait(epoll, &events, 4, 0) == 0)
    // A change of interest tells anew; what it is changed to is all that is watched.
    #expect(swsys_epoll_modify(epoll, counters[0], 9, Int32(SWSYS_WRITABLE)) == 0)
    #expect(unsafe swsys_epoll_wait(epoll, &events, 4, 0) == 1)
    #expect(events[0].key == 9 && events[0].readiness == UInt32(SWSYS_WRITABLE))
    #expect(swsys_epoll_modify(epoll, counters[1], 9, 0) == -ENOENT)
    #expect(swsys_epoll_add(epoll, counters[0], 9, 0) == -EEXIST)
    for counter in counters { close(counter) }
    close(epoll)
  }

  @Test func `a level-triggered descriptor is told until it is drained`() {
    let (epoll, counter) = (swsys_epoll_create(), swsys_eventfd())
    #expect(swsys_epoll_add_level(epoll, counter, 3) == 0)
    var event = swsys_event()
    #expect(unsafe swsys_epoll_wait(epoll, &event, 1, 0) == 0)
    #expect(swsys_eventfd_signal(counter) == 8)
    for _ in 0..<3 {
      #expect(unsafe swsys_epoll_wait(epoll, &event, 1, -1) == 1)
      #expect(event.key == 3 && event.readiness == UInt32(SWSYS_READABLE))
    }
    #expect(swsys_eventfd_drain(counter) == 8)
    #expect(unsafe swsys_epoll_wait(epoll, &event, 1, 0) == 0)
    close(counter)
    close(epoll)
  }

  @Test func `poll counts what is ready, and says what of`() throws {
    let ends = try pair { unsafe swsys_unix_pair($0, swsys_sock_stream) }
    var polled = [
      swsys_polled(fd: ends.0, events: swsys_poll_mask(1), revents: 99),
      swsys_polled(fd: ends.1, events: swsys_poll_mask(2), revents: 99),
    ]
    #expect(unsafe swsys_poll(&polled, 2, -1) == 1)
    #expect(polled.map(\.revents) == [0, Int16(POLLOUT)])
    #expect(unsafe swsys_poll(&polled, 1, 0) == 0)
    #expect(unsafe swsys_poll(&polled, 2, 1_000_000_000) == 1)
    close(ends.0)
    close(ends.1)
  }
}
