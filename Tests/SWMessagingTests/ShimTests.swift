import CSysShim
import CSysTestSupport
import Foundation
import Glibc
import SWIO
import SWMessaging
import SWTesting
import Synchronization
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

  @Test func `every descriptor that the shim makes is close-on-exec, and above the standard streams`() throws
  {
    let pipe = try unsafe pair { unsafe swsys_pipe($0) }
    var numbers = [
      swsys_eventfd(), swsys_epoll_create(), pipe.0, pipe.1, swsys_duplicate(pipe.0, 3),
      swsys_duplicate(pipe.0, 100),
      swsys_reopen_nonblocking(pipe.0, O_RDONLY), unsafe swsys_open_for_child("/dev/null", O_RDONLY),
    ]
    for type in [swsys_sock_stream, swsys_sock_dgram, swsys_sock_seqpacket] {
      let sockets = try unsafe pair { unsafe swsys_unix_pair($0, type) }
      numbers += [sockets.0, sockets.1]
    }
    for isNewer in [false, true] {
      let sockets = try unsafe pair { unsafe swsys_tcp_pair($0, isNewer) }
      numbers += [sockets.0, sockets.1]
    }
    numbers.append(swsys_timer())
    for number in numbers {
      #expect(number > 2)
      #expect(swsys_get_close_on_exec(number) == 1)
    }
    #expect(numbers[5] >= 100)
    // A descriptor for waiting must not block. A descriptor that others may share must.
    #expect(swsys_is_nonblocking(numbers[0]) == 1)
    #expect(swsys_is_nonblocking(pipe.0) == 0 && swsys_is_nonblocking(pipe.1) == 0)
    #expect(swsys_is_nonblocking(numbers[6]) == 1)
    #expect(swsys_is_nonblocking(numbers[7]) == 0)
    for number in numbers { close(number) }
  }

  @Test func `flags are changed one at a time, and read as they are`() throws {
    let number = swsys_eventfd()
    #expect(swsys_set_close_on_exec(number, false) == 0)
    #expect(swsys_get_close_on_exec(number) == 0)
    #expect(swsys_set_close_on_exec(number, true) == 0)
    #expect(swsys_get_close_on_exec(number) == 1)
    for isOn in [false, true, true, false] {
      #expect(swsys_set_nonblocking(number, isOn) == 0)
      #expect(swsys_is_nonblocking(number) == (isOn ? 1 : 0))
    }
    close(number)
    // A number that is not open is an error everywhere.
    let results = [
      swsys_close(number), swsys_duplicate(number, 3), swsys_set_nonblocking(number, true),
      swsys_get_close_on_exec(number),
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
    let number = unsafe swsys_open_for_child("/dev/null", mode | O_APPEND)
    #expect(swsys_access_mode(number) == mode)
    close(number)
  }

  // MARK: Kinds

  @Test func `every kind of descriptor is told from the others`() throws {
    let pipe = try unsafe pair { unsafe swsys_pipe($0) }
    let stream = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_stream) }
    let datagrams = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_dgram) }
    let packets = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_seqpacket) }
    let tcp = try unsafe pair { unsafe swsys_tcp_pair($0, false) }
    let tcp6 = try unsafe pair { unsafe swsys_tcp_pair($0, true) }
    let udp = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    let udp6 = socket(AF_INET6, Int32(SOCK_DGRAM.rawValue), 0)
    let file = unsafe swsys_open_for_child("/proc/self/exe", O_RDONLY)
    let null = unsafe swsys_open_for_child("/dev/null", O_RDONLY)
    let directory = unsafe swsys_open_for_child("/", O_RDONLY | O_DIRECTORY)
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
    for (ends, family) in [(tcp, AF_INET), (tcp6, AF_INET6), (stream, AF_UNIX)] {
      #expect(swsys_socket_family(ends.0) == family && swsys_socket_family(ends.1) == family)
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
      try unsafe pair { unsafe swsys_tcp_pair($0, false) },
      try unsafe pair { unsafe swsys_tcp_pair($0, true) },
      try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_stream) },
    ]
    for (first, second) in pairs {
      for (from, to) in [(first, second), (second, first)] {
        #expect(swsys_poll_now(to, Int32(SWSYS_READABLE)) == 0)
        #expect(try FileDescriptor(rawValue: from).writeAll([7]) == 1)
        #expect(swsys_wait(to, Int32(SWSYS_READABLE), -1, -1) == 1)
        #expect(swsys_poll_now(to, Int32(SWSYS_READABLE)) == 1)
        // It is readable, but nobody asks for that.
        #expect(swsys_poll_now(to, 0) == 0 && swsys_wait(to, 0, -1, 0) == 0)
      }
      close(first)
      close(second)
    }
  }

  // MARK: Readiness

  @Test func `standard input is waited for like any other descriptor`() throws {
    let found = try withOwnDescriptors { () -> [Int32] in
      let counter = swsys_eventfd()
      guard dup2(counter, 0) == 0 else { return [] }
      let before = swsys_wait(0, Int32(SWSYS_READABLE), -1, 0)
      _ = swsys_eventfd_signal(counter)
      return [before, swsys_wait(0, Int32(SWSYS_READABLE), -1, 0)]
    }
    #expect(found == [0, 1])
  }

  @Test func `each bit of poll and epoll has its readiness`() {
    let (readable, writable) = (Int32(SWSYS_READABLE), Int32(SWSYS_WRITABLE))
    let (readClosed, writeClosed) = (Int32(SWSYS_READ_CLOSED), Int32(SWSYS_WRITE_CLOSED))
    let (failed, urgent) = (Int32(SWSYS_FAILED), Int32(SWSYS_URGENT))
    let remoteHangUp: Int32 = 0x2000  // POLLRDHUP
    let table: [(Int32, Int32)] = [
      (POLLIN, readable), (POLLOUT, writable), (POLLPRI, readable | urgent),
      (remoteHangUp, readable | readClosed), (POLLHUP, readClosed | writeClosed), (POLLERR, failed),
      (POLLNVAL, failed), (0, 0), (POLLIN | POLLOUT, readable | writable),
    ]
    for (bits, readiness) in table { #expect(swsys_poll_readiness(bits) == readiness, "\(bits)") }
    let receiving = Int16(POLLIN | POLLPRI | remoteHangUp)
    #expect(swsys_poll_mask(0) == 0)
    #expect(swsys_poll_mask(readable) == receiving)
    #expect(swsys_poll_mask(writable) == Int16(POLLOUT))
    #expect(swsys_poll_mask(readable | writable) == receiving | Int16(POLLOUT))
    #expect(swsys_poll_mask(readClosed | writeClosed | failed | urgent) == 0)
  }

  @Test func `a wait says which of the two is ready, for what it was asked`() throws {
    let ends = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_stream) }
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
      { swsys_poll(nil, 0, nanoseconds) },
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
      let count = unsafe swsys_epoll_wait(epoll, &events, 129, 0)
      if count == 0 { break }
      #expect(count == min(128, 200 - keys.count))
      #expect(events[..<Int(count)].allSatisfy { $0.readiness == UInt32(SWSYS_READABLE) })
      keys += events[..<Int(count)].map { $0.key }
    }
    #expect(keys.sorted() == (0..<200).map { UInt64($0) << 32 | 5 })
    // A reported event is not reported again, and an event that is no longer watched not at all.
    #expect(swsys_eventfd_signal(counters[0]) == 8)
    #expect(swsys_eventfd_signal(counters[1]) == 8)
    #expect(swsys_epoll_delete(epoll, counters[1]) == 0)
    var events = [swsys_event](repeating: swsys_event(), count: 4)
    events[1].key = 99
    #expect(unsafe swsys_epoll_wait(epoll, &events, 4, -1) == 1)
    #expect(events[0].key == 5 && events[1].key == 99)
    #expect(unsafe swsys_epoll_wait(epoll, &events, 4, 0) == 0)
    // A change of interest tells anew; what it is changed to is all that is watched.
    #expect(swsys_epoll_modify(epoll, counters[0], 9, Int32(SWSYS_WRITABLE)) == 0)
    #expect(unsafe swsys_epoll_wait(epoll, &events, 4, 0) == 1)
    #expect(events[0].key == 9 && events[0].readiness == UInt32(SWSYS_WRITABLE))
    #expect(swsys_epoll_modify(epoll, counters[0], 9, 0) == 0)
    #expect(unsafe swsys_epoll_wait(epoll, &events, 4, 0) == 0)
    #expect(swsys_epoll_modify(epoll, counters[1], 9, 0) == -ENOENT)
    #expect(swsys_epoll_add(epoll, counters[0], 9, 0) == -EEXIST)
    for counter in counters { close(counter) }
    close(epoll)
  }

  @Test func `each signal and each ring is told once, though nobody reads them`() {
    let (epoll, counter, timer) = (swsys_epoll_create(), swsys_eventfd(), swsys_timer())
    #expect(swsys_epoll_add_edge(epoll, counter, 3) == 0)
    #expect(swsys_epoll_add_edge(epoll, timer, 4) == 0)
    var event = swsys_event()
    #expect(unsafe swsys_epoll_wait(epoll, &event, 1, 0) == 0)
    for _ in 0..<3 {
      #expect(swsys_eventfd_signal(counter) == 8)
      #expect(unsafe swsys_epoll_wait(epoll, &event, 1, -1) == 1)
      #expect(event.key == 3 && event.readiness == UInt32(SWSYS_READABLE))
      #expect(unsafe swsys_epoll_wait(epoll, &event, 1, 0) == 0)
    }
    // A time that has passed rings at once; a time that is put off does not ring before.
    for instant in [0, 1, swsys_now()] as [UInt64] {
      #expect(swsys_timer_set(timer, .max / 4) == 0)
      #expect(unsafe swsys_epoll_wait(epoll, &event, 1, 0) == 0)
      #expect(swsys_timer_set(timer, instant) == 0)
      #expect(unsafe swsys_epoll_wait(epoll, &event, 1, -1) == 1)
      #expect(event.key == 4)
      #expect(unsafe swsys_epoll_wait(epoll, &event, 1, 0) == 0)
    }
    let soon = swsys_now() + 1_000_000
    #expect(swsys_timer_set(timer, soon) == 0)
    #expect(unsafe swsys_epoll_wait(epoll, &event, 1, -1) == 1)
    #expect(swsys_now() >= soon)
    for number in [timer, counter, epoll] { close(number) }
  }

  @Test func `poll counts what is ready, and says what of`() throws {
    let ends = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_stream) }
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

  // MARK: Datagrams

  @Test func `a packet with its mark brings nothing else`() throws {
    let ends = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_seqpacket) }
    #expect(swsys_mark_packets(ends.1) == 0)
    for count in [0, 1] {
      #expect(unsafe send(ends.0, [7] as [UInt8], count, 0) == count)
      var byte: UInt8 = 0
      var found: UnsafeMutablePointer<swsys_ancillary>?
      #expect(unsafe swsys_receive_message(ends.1, &byte, 1, SWSYS_PACKET, &found) == count)
      #expect(unsafe found == nil)
      unsafe swsys_free_ancillary(found)
    }
    close(ends.0)
    close(ends.1)
  }

  /// The flags that the kernel has about the memory at an address (proc_pid_smaps(5)).
  private static func flags(at address: UInt) throws -> Set<Substring> {
    var isFound = false
    for line in try textAboutProcess("smaps").split(separator: "\n") {
      let borders = line.prefix { $0 != " " }.split(separator: "-").compactMap { UInt($0, radix: 16) }
      if borders.count == 2 { isFound = borders[0] <= address && address < borders[1] }
      if isFound, line.hasPrefix("VmFlags:") { return Set(line.dropFirst(8).split(separator: " ")) }
    }
    return []
  }

  @Test func `room for datagrams costs what is written to it, and there may be none`() throws {
    let size = 8 * swsys_page_size()
    guard let room = unsafe swsys_map_room(size) else {
      Issue.record("there is no memory")
      return
    }
    let flags = try Self.flags(at: UInt(bitPattern: room))
    #expect(flags.isSuperset(of: ["rd", "wr"]))
    // Where the system promises no more than it has (2), it promises this as well.
    let policy = try String(contentsOfFile: "/proc/sys/vm/overcommit_memory", encoding: .utf8)
    #expect(flags.contains("nr") || policy.hasPrefix("2"))
    let hasHugePages = FileManager.default.fileExists(atPath: "/sys/kernel/mm/transparent_hugepage")
    #expect(flags.contains("nh") == hasHugePages)
    unsafe swsys_unmap_room(room, size)
    // More than there are addresses.
    #expect(unsafe swsys_map_room(1 << 62) == nil)
  }

  private func passesCredentials(_ number: Int32) -> Int32 {
    var (value, length) = (Int32(-1), socklen_t(4))
    #expect(unsafe getsockopt(number, SOL_SOCKET, SO_PASSCRED, &value, &length) == 0)
    return value
  }

  /// Room for one byte; so what is received is only counted.
  private func receive(_ number: Int32) -> Int {
    var byte: UInt8 = 0
    var found: UnsafeMutablePointer<swsys_ancillary>?
    let result = unsafe swsys_receive_message(number, &byte, 1, SWSYS_PACKET, &found)
    unsafe swsys_free_ancillary(found)
    return result
  }

  @Test(arguments: [false, true]) func `an empty packet is told from the end, and credentials stay`(
    _ passes: Bool
  ) throws {
    let ends = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_seqpacket) }
    #expect(swsys_set_receives_credentials(ends.1, passes) == 0 && swsys_mark_packets(ends.1) == 0)
    #expect(swsys_next_datagram_size(ends.1, true) == -Int(EAGAIN))
    for bytes in [[], [1, 2, 3], []] as [[UInt8]] {
      #expect(unsafe send(ends.0, bytes, bytes.count, 0) == bytes.count)
    }
    #expect(swsys_next_datagram_size(ends.1, true) == 0)
    #expect(receive(ends.1) == 0)
    #expect(swsys_next_datagram_size(ends.1, true) == 3)
    #expect(receive(ends.1) == 1)
    #expect(shutdown(ends.0, Int32(SHUT_WR)) == 0)
    #expect(swsys_next_datagram_size(ends.1, true) == 0)
    #expect(passesCredentials(ends.1) == (passes ? 1 : 0))
    #expect(receive(ends.1) == 0)
    #expect(swsys_next_datagram_size(ends.1, true) == Int(SWSYS_ENDED))
    #expect(passesCredentials(ends.1) == (passes ? 1 : 0))
    #expect(receive(ends.1) == Int(SWSYS_ENDED))
    // Of datagrams there is no end.
    #expect(swsys_next_datagram_size(ends.1, false) == 0)
    close(ends.0)
    close(ends.1)
  }

  @Test func `a queue holds something, or nothing, also behind the end`() throws {
    let counter = swsys_eventfd()
    for type in [swsys_sock_stream, swsys_sock_dgram] {
      let isStream = type == swsys_sock_stream
      let ends = try unsafe pair { unsafe swsys_unix_pair($0, type) }
      #expect(!swsys_queue_holds_something(ends.1, isStream))
      var byte: UInt8 = 7
      // A datagram may consist of a descriptor alone.
      let sent = unsafe withUnsafeMutablePointer(to: &byte) { byte in
        var part = unsafe iovec(iov_base: byte, iov_len: isStream ? 1 : 0)
        return unsafe swsys_send_accompanied(ends.0, &part, 1, [counter], 1, nil, 0)
      }
      #expect(sent == (isStream ? 1 : 0))
      #expect(swsys_queue_holds_something(ends.1, isStream))
      var found: UnsafeMutablePointer<swsys_ancillary>?
      let kind = isStream ? SWSYS_UNIX_BYTES : SWSYS_DATAGRAM
      _ = unsafe swsys_receive_message(ends.1, &byte, 1, kind, &found)
      #expect(unsafe found?.pointee.descriptor_count == 1)
      if let found = unsafe found { close(unsafe found.pointee.descriptors.0) }
      unsafe swsys_free_ancillary(found)
      close(ends.0)
      #expect(!swsys_queue_holds_something(ends.1, isStream))
      close(ends.1)
    }
    close(counter)
  }

  @Test func `a socket that marks packets with nanoseconds goes on with that`() throws {
    let ends = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_seqpacket) }
    #expect(swsys_time_option(ends.1) == 0)
    #expect(swsys_mark_packets(ends.1) == 0 && swsys_time_option(ends.1) == 1)
    #expect(swsys_mark_packets_with_nanoseconds(ends.1) == 0 && swsys_time_option(ends.1) == 2)
    #expect(swsys_mark_packets(ends.1) == 0 && swsys_time_option(ends.1) == 2)
    close(ends.0)
    close(ends.1)
  }

  @Test func `packets are received before the end, also where another process has switched the mark off`()
    throws
  {
    let ends = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_seqpacket) }
    #expect(swsys_mark_packets(ends.1) == 0)
    for bytes in [[], [], [1], [2, 3]] as [[UInt8]] {
      #expect(unsafe send(ends.0, bytes, bytes.count, 0) == bytes.count)
    }
    #expect(shutdown(ends.0, Int32(SHUT_WR)) == 0)
    #expect(swsys_unmark_packets(ends.1) == 0)
    // The first empty packet may be taken for the end that follows, and the attempt is repeated.
    #expect(receive(ends.1) == 0)
    #expect(receive(ends.1) == 1)
    #expect(receive(ends.1) == 1)
    #expect(receive(ends.1) == Int(SWSYS_ENDED))
    close(ends.0)
    close(ends.1)
  }

  @Test func `a file on which another process has a lease is opened when that has ended`() async {
    await #expect(processExitsWith: .success) {
      let directory = try TestDirectory()
      defer { directory.remove() }
      let path = directory("leased").string
      let holder = unsafe open(path, O_RDWR | O_CREAT, 0o600)
      for options in [O_RDONLY, O_WRONLY | O_CREAT, O_RDWR | O_TRUNC] as [Int32] {
        #expect(swsys_lease_until_asked(holder) == 0)
        let refused = unsafe open(path, options | O_NONBLOCK)
        #expect(refused == -1)
        #expect(swsys_lease_until_asked(holder) == 0)
        let number = unsafe swsys_open_for_child(path, options)
        #expect(number > 2 && swsys_is_nonblocking(number) == 0)
        #expect(swsys_close(number) == 0)
      }
      // Nothing that was opened on the way is still open.
      #expect(OpenFile(FileDescriptor(rawValue: holder)).numbers == [holder])
    }
  }

  @Test func `several datagrams are received at once, each into its slot, and no more than was asked for`()
    throws
  {
    let ends = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_dgram) }
    let sent: [[UInt8]] = [[1], [2, 3, 4, 5, 6], [7, 8], []]
    for bytes in sent { #expect(unsafe send(ends.0, bytes, bytes.count, 0) == bytes.count) }
    var memory = [UInt8](repeating: 99, count: 12)
    var canary = swsys_datagram()
    canary.byte_count = 12_345
    var found = [swsys_datagram](repeating: canary, count: 4)
    #expect(unsafe swsys_receive_datagrams(ends.1, &memory, 4, 2, &found) == 2)
    #expect(found.map(\.byte_count) == [1, 4, 12_345, 12_345])
    #expect(found.map(\.is_cut) == [false, true, false, false])
    #expect(found[0].address_length == 0)
    #expect(memory == [1, 99, 99, 99, 2, 3, 4, 5, 99, 99, 99, 99])
    #expect(unsafe swsys_receive_datagrams(ends.1, &memory, 4, 3, &found) == 2)
    #expect(found.map(\.byte_count) == [2, 0, 12_345, 12_345])
    #expect(unsafe swsys_receive_datagrams(ends.1, &memory, 4, 1, &found) == -EAGAIN)
    close(ends.0)
    close(ends.1)
  }

  @Test func `at most 64 datagrams go at once, each whole, and a send waits for nobody`() throws {
    let ends = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_dgram) }
    let limit = try String(contentsOfFile: "/proc/sys/net/unix/max_dgram_qlen", encoding: .utf8)
    let room = try #require(Int32(limit.trimmingCharacters(in: .whitespacesAndNewlines)))
    var byte: UInt8 = 7
    unsafe withUnsafeMutablePointer(to: &byte) { byte in
      let parts = unsafe [iovec](repeating: iovec(iov_base: byte, iov_len: 1), count: 100)
      var sent: Int32 = 0
      while true {
        let count = unsafe swsys_send_datagrams(ends.0, parts, 100)
        if count < 0 {
          #expect(count == -EAGAIN)
          break
        }
        #expect(count <= 64)
        sent += count
      }
      #expect(sent >= room)
      for _ in 0..<sent { #expect(receive(ends.1) == 1) }
    }
    #expect(swsys_next_datagram_size(ends.1, false) == -Int(EAGAIN))
    close(ends.0)
    // The reader is gone, and the write raises no signal.
    var part = unsafe iovec()
    #expect(unsafe swsys_send_datagrams(ends.1, &part, 1) < 0)
    close(ends.1)
  }

  @Test func `a send passes at most 253 descriptors, each of them once`() throws {
    let ends = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_stream) }
    let counter = swsys_eventfd()
    var byte: UInt8 = 7
    unsafe withUnsafeMutablePointer(to: &byte) { byte in
      var part = unsafe iovec(iov_base: byte, iov_len: 1)
      let numbers = [Int32](repeating: counter, count: 254)
      #expect(unsafe swsys_send_accompanied(ends.0, &part, 1, numbers, 254, nil, 0) == -Int(EINVAL))
      for count in [253, 0, 1] as [Int32] {
        #expect(unsafe swsys_send_accompanied(ends.0, &part, 1, numbers, count, nil, 0) == 1)
      }
    }
    var all: [Int32] = []
    for (bytes, count) in [(1, 253), (2, 1)] {
      var memory: [UInt8] = [0, 0, 0, 0]
      var found: UnsafeMutablePointer<swsys_ancillary>?
      #expect(unsafe swsys_receive_message(ends.1, &memory, 4, SWSYS_UNIX_BYTES, &found) == bytes)
      guard let found = unsafe found else {
        Issue.record("no descriptors came")
        break
      }
      let ancillary = unsafe found.pointee
      #expect(ancillary.descriptor_count == count)
      #expect(ancillary.pidfd < 0 && !ancillary.has_credentials && ancillary.address_length == 0)
      #expect(!ancillary.is_cut && !ancillary.is_control_cut)
      unsafe all += withUnsafeBytes(of: ancillary.descriptors) { bytes in
        unsafe Array(bytes.bindMemory(to: Int32.self).prefix(count))
      }
      unsafe swsys_free_ancillary(found)
    }
    #expect(Set(all).count == 254)
    for number in all {
      #expect(swsys_get_close_on_exec(number) == 1)
      close(number)
    }
    for number in [ends.0, ends.1, counter] { close(number) }
  }

  @Test func `the sender's process, user and group come as the kernel tells them`() throws {
    let ends = try unsafe pair { unsafe swsys_unix_pair($0, swsys_sock_stream) }
    #expect(swsys_set_receives_credentials(ends.1, true) == 0)
    // Only root may name another process and another group.
    let isRoot = getuid() == 0
    let (process, group) = isRoot ? (getppid(), 4_321) : (getpid(), getgid())
    #expect(swsys_send_credentials(ends.0, 7, process, group) == 1)
    var byte: UInt8 = 0
    var found: UnsafeMutablePointer<swsys_ancillary>?
    #expect(unsafe swsys_receive_message(ends.1, &byte, 1, SWSYS_UNIX_BYTES, &found) == 1)
    if let ancillary = unsafe found?.pointee {
      #expect(ancillary.has_credentials && ancillary.uid == getuid())
      #expect(ancillary.pid == process && ancillary.gid == group)
      #expect(ancillary.descriptor_count == 0 && ancillary.address_length == 0)
    } else {
      Issue.record("no credentials came")
    }
    unsafe swsys_free_ancillary(found)
    for number in [ends.0, ends.1] { close(number) }
  }

  @Test func `the kernel is as new as it says, and no newer`() throws {
    let release = try String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8)
    let parts = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int32($0) }
    try #require(parts.count == 2)
    let (major, minor) = (parts[0], parts[1])
    #expect(swsys_kernel_is_at_least(major, minor) && swsys_kernel_is_at_least(major - 1, minor + 1))
    #expect(!swsys_kernel_is_at_least(major, minor + 1) && !swsys_kernel_is_at_least(major + 1, 0))
  }

  @Test func `a look takes nothing, and does not wait`() throws {
    for type in [swsys_sock_stream, swsys_sock_dgram, swsys_sock_seqpacket] {
      let ends = try unsafe pair { unsafe swsys_unix_pair($0, type) }
      var bytes: [UInt8] = [0, 0, 0, 0]
      #expect(unsafe swsys_peek(ends.1, &bytes, 4) == -Int(EAGAIN))
      #expect(unsafe send(ends.0, [1, 2, 3] as [UInt8], 3, 0) == 3)
      for _ in 0..<2 {
        #expect(unsafe swsys_peek(ends.1, &bytes, 4) == 3)
        #expect(bytes == [1, 2, 3, 0])
      }
      #expect(receive(ends.1) == 1)
      close(ends.0)
      close(ends.1)
    }
  }

  // MARK: Pipes and files

  @Test func `what pipes take is what a try shows`() throws {
    let ends = try unsafe pair { unsafe swsys_pipe($0) }
    var byte: UInt8 = 7
    let results = unsafe withUnsafeMutablePointer(to: &byte) { byte in
      var part = unsafe iovec(iov_base: byte, iov_len: 1)
      return [false, true].map { unsafe swsys_write_nowait(ends.1, &part, 1, $0, true) }
    }
    #expect(swsys_probe_nowait() == (results[0] == 1 ? 1 : 0))
    #expect(swsys_probe_nosignal() == (results[1] == 1 ? 1 : 0))
    close(ends.0)
    close(ends.1)
  }

  @Test func `a copy of a descriptor is known as well as what it is a copy of`() async {
    // No number has been used before, so none is known from an earlier socket.
    await #expect(processExitsWith: .success) {
      var ends: [Int32] = [-1, -1]
      #expect(unsafe swsys_unix_pair(&ends, swsys_sock_stream) == 0)
      let copy = swsys_duplicate(ends[0], 600)
      let count = swsys_fork_count()
      #expect(count >= 0 && [ends[0], ends[1], copy].allSatisfy { swsys_birth($0) == count })
      // Not made by the library: others may have it.
      let foreign = fcntl(ends[0], F_DUPFD_CLOEXEC, 700)
      let second = swsys_duplicate(foreign, 800)
      #expect(foreign >= 700 && second >= 800 && swsys_birth(foreign) < 0 && swsys_birth(second) < 0)
    }
  }

  @Test func `writes that do not wait take as much as there is room for, with and without signals`() throws {
    let ends = try unsafe pair { unsafe swsys_pipe($0) }
    let bytes = [UInt8](repeating: 1, count: 3_000)
    for noSignal in [false, true] where KernelFeatures.current.nosignalPipes || !noSignal {
      for noWait in [false, true] where KernelFeatures.current.nowaitPipes || !noWait {
        let result = unsafe bytes.withUnsafeBytes { bytes in
          let base = unsafe UnsafeMutableRawPointer(mutating: bytes.baseAddress)
          let parts = unsafe [iovec(iov_base: base, iov_len: 1_000), iovec(iov_base: base, iov_len: 2_000)]
          return unsafe swsys_write_nowait(ends.1, parts, 2, noSignal, noWait)
        }
        #expect(result == 3_000)
      }
    }
    for count in [1, 2] as [Int32] {
      let result = unsafe bytes.withUnsafeBytes { bytes in
        let base = unsafe UnsafeMutableRawPointer(mutating: bytes.baseAddress)
        let parts = unsafe [iovec(iov_base: base, iov_len: 10), iovec(iov_base: base, iov_len: 20)]
        return unsafe swsys_write_guarded(ends.1, parts, count, false)
      }
      #expect(result == (count == 1 ? 10 : 30))
    }
    var memory = [UInt8](repeating: 0, count: 20_000)
    #expect(unsafe swsys_read(ends.0, &memory, 20_000) % 3_000 == 40)
    close(ends.0)
    close(ends.1)
  }

  @Test func `an IP address is told from other text`() {
    for (text, count) in [("1.2.3.4", 4), ("::1", 16), ("1.2.3", 0), ("x", 0), ("", 0), ("1.2.3.4.5", 0)] {
      var address = [UInt8](repeating: 0, count: 16)
      #expect(unsafe swsys_parse_ip(text, &address) == Int32(count))
    }
  }

  @Test func `a shared file that is read without waiting says so if it is at its end`() throws {
    let number = unsafe swsys_open_for_child("/proc/self/exe", O_RDONLY)
    var byte: UInt8 = 0
    #expect(unsafe swsys_read_nowait(number, &byte, 1) == 1)
    #expect(byte == 0x7F)
    #expect(unsafe swsys_read(number, &byte, 1) == 1)
    #expect(byte == UInt8(ascii: "E"))
    close(number)
  }

  // MARK: Names

  /// The identity of a name in a directory; nil if there is no such name.
  private func identity(_ directory: Int32, _ name: String) -> swsys_identity? {
    var found = swsys_identity()
    return unsafe swsys_identify(directory, name, &found) == 0 ? found : nil
  }

  @Test func `two names are exchanged, and neither may be missing`() throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let place = unsafe swsys_open_place(directory.path.string, true)
    defer { close(place) }
    for (name, mode) in [("a", 0o600), ("b", 0o640)] {
      #expect(FileManager.default.createFile(atPath: directory(name).string, contents: nil))
      #expect(unsafe swsys_set_mode_of(place, name, UInt32(mode)) == 0)
    }
    let (a, b) = (try #require(identity(place, "a")), try #require(identity(place, "b")))
    #expect(a.inode != b.inode && a.device == b.device && a.device != 0)
    #expect(a.mode == 0o600 && b.mode == 0o640 && !a.is_socket)
    #expect(unsafe swsys_exchange(place, "a", "b") == 0)
    #expect(identity(place, "a")?.inode == b.inode && identity(place, "b")?.inode == a.inode)
    #expect(unsafe swsys_exchange(place, "a", "c") == -ENOENT)
    #expect(identity(place, "a")?.inode == b.inode && identity(place, "c") == nil)
  }

  @Test func `a directory is locked once at a time, and who comes second leaves nothing open`() throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let place = unsafe swsys_open_place(directory.path.string, true)
    defer { close(place) }
    let lock = swsys_lock_directory(place)
    #expect(lock > 2)
    func openDirectories() -> Set<Int32> { openDescriptors().filter { swsys_kind($0) == -EISDIR } }
    let before = openDirectories()
    #expect(swsys_lock_directory(place) == -EWOULDBLOCK)
    #expect(openDirectories() == before)
    close(lock)
    let next = swsys_lock_directory(place)
    #expect(next > 2)
    close(next)
    #expect(swsys_lock_directory(-1) == -EBADF)
  }

  // MARK: Shortages. Each in a process of its own.

  /// Uses up all numbers.
  private static func fill() -> [Int32] {
    var filled: [Int32] = []
    while case let number = dup(1), number >= 0 { filled.append(number) }
    return filled
  }

  @Test func `a pair for which there is no room above the standard streams leaves nothing`() async {
    await #expect(processExitsWith: .success) {
      limitDescriptors(64)
      let (result, open) = try withOwnDescriptors { () -> (Int32, [Int32]) in
        _ = Self.fill()
        for number in 0...2 as ClosedRange<Int32> { Glibc.close(number) }
        var ends: [Int32] = [-1, -1]
        let result = unsafe swsys_pipe(&ends)
        return (result, (0...2 as ClosedRange<Int32>).filter { fcntl($0, F_GETFD) >= 0 })
      }
      #expect(result == -EMFILE)
      #expect(open.isEmpty)
    }
  }

  @Test func `a TCP pair that cannot be made leaves nothing, whichever of its parts is missing`() async {
    await #expect(processExitsWith: .success) {
      limitDescriptors(64)
      for isNewer in [false, true] {
        for room in 0...2 {
          let (result, isClean) = try withOwnDescriptors { () -> (Int32, Bool) in
            // Standard input is among the numbers that are free.
            Glibc.close(0)
            let filled = Self.fill()
            for number in filled.prefix(room) { Glibc.close(number) }
            let before = openDescriptors()
            var ends: [Int32] = [-1, -1]
            let result = unsafe swsys_tcp_pair(&ends, isNewer)
            return (result, opensNothing(SWSYS_STREAM_SOCKET, beyond: before))
          }
          #expect(result == -EMFILE && isClean)
        }
      }
    }
  }

  @Test func `a TCP pair is made above the standard streams, also where one of them is missing`() async {
    await #expect(processExitsWith: .success) {
      for isNewer in [false, true] {
        for missing in [[0], [1], [0, 1], [0, 1, 2]] as [[Int32]] {
          let (result, lowest) = try withOwnDescriptors { () -> (Int32, Int32) in
            for number in missing { Glibc.close(number) }
            var ends: [Int32] = [-1, -1]
            let result = unsafe swsys_tcp_pair(&ends, isNewer)
            return (result, min(ends[0], ends[1]))
          }
          #expect(result == 0 && lowest > 2, "without \(missing)")
        }
      }
    }
  }

  @Test(arguments: [0, 1, 2] as [Int32]) func `every standard stream is replaced, with room and without`(
    _ number: Int32
  ) async {
    await #expect(processExitsWith: .success) { [number] in
      limitDescriptors(64)
      for hasRoom in [true, false] {
        for missing in [nil, 0] as [Int32?] where hasRoom || missing == nil {
          let isReplaced = try withOwnDescriptors {
            if let missing, missing != number { Glibc.close(missing) }
            if !hasRoom { _ = Self.fill() }
            let during = openDescriptors()
            return swsys_replace_with_null(number) == 0
              && opensNothing(SWSYS_OTHER, beyond: during.union([number]))
              && isatty(number) == 0 && swsys_kind(number) == Int32(SWSYS_OTHER.rawValue)
              && swsys_access_mode(number) == O_RDWR
          }
          #expect(isReplaced, "with room: \(hasRoom), missing: \(missing.map(String.init) ?? "none")")
        }
      }
    }
  }

  @Test func `a standard stream is replaced where /dev/null cannot be opened`() async throws {
    let pair = try DescriptorPair.pipe()
    let number = pair.second.withDescriptor { $0.rawValue }
    // Each number is replaced in the same way.
    let isReplaced = try await TestThread {
      #expect(swsys_fail_here(Int32(SWSYS_CALL_OPENAT), ENOENT) == 0)
      return swsys_replace_with_null(number) == 0
    }.value
    #expect(isReplaced)
    var byte: UInt8 = 0
    // The peer of the old one sees the end, and so does a reader of the new one.
    #expect(pair.first.withDescriptor { unsafe read($0.rawValue, &byte, 1) } == 0)
    #expect(unsafe read(number, &byte, 1) == 0)
    #expect(unsafe write(number, &byte, 1) == -1 && errno == EBADF)
  }

  @Test func `a description that cannot be given the flags of a packet pipe is closed`() async {
    await #expect(processExitsWith: .success) {
      var ends: [Int32] = [-1, -1]
      #expect(unsafe swsys_packet_pipe(&ends, true) == 0)
      // The next number has a bit of its own, by which the kernel knows what to refuse.
      while case let number = swsys_duplicate(ends[0], 3), number < 511 { if number < 0 { break } }
      #expect(fcntl(512, F_GETFD) < 0)
      #expect(swsys_forbid(Int32(SWSYS_CALL_FCNTL), 512) == 0)
      #expect(swsys_reopen_nonblocking(ends[0], O_RDONLY) == -EPERM)
      // Of a number that is not open poll has something to say.
      #expect(swsys_poll_now(512, 0) == 1)
      #expect(unsafe swsys_open_for_child("/dev/null", O_RDONLY) == -EPERM)
      #expect(swsys_poll_now(512, 0) == 1)
    }
  }

  @Test func `what is opened for a child takes no standard stream, and leaves its number free`() async {
    await #expect(processExitsWith: .success) {
      for number in 0...2 as ClosedRange<Int32> { Glibc.close(number) }
      let first = unsafe swsys_open_for_child("/dev/null", O_RDONLY)
      let second = unsafe swsys_open_for_child("/dev/null", O_RDWR)
      // Dispatch opens files of its own for a moment, and may be given one of these numbers.
      func device(_ number: Int32) -> dev_t? {
        var found = stat()
        return unsafe fstat(number, &found) == 0 ? found.st_rdev : nil
      }
      let null = device(first)
      let left = (0...2 as ClosedRange<Int32>).filter { device($0) == null }
      #expect(first > 2 && second > 2 && null != nil && left.isEmpty)
      #expect(swsys_get_close_on_exec(first) == 1 && swsys_is_nonblocking(first) == 0)
    }
  }

  @Test func `where the kernel refuses to poll, waits take a slice of time, and everything may be ready`()
    async throws
  {
    for (nanoseconds, least) in [(-1, 10_000_000), (20_000_000, 10_000_000), (5_000_000, 5_000_000)] {
      // The kernel refuses it to this thread alone. A limit on descriptors would hold for Dispatch, too.
      try await TestThread {
        let wake = swsys_eventfd()
        #expect(swsys_forbid_here(Int32(SWSYS_CALL_PPOLL)) == 0)
        var start = swsys_now()
        #expect(swsys_wait(0, Int32(SWSYS_READABLE), wake, Int64(nanoseconds)) == 7)
        #expect(swsys_now() - start >= least)
        start = swsys_now()
        var polled = [swsys_polled](repeating: swsys_polled(fd: wake, events: 1, revents: 99), count: 2)
        #expect(unsafe swsys_poll(&polled, 2, Int64(nanoseconds)) == -EPERM)
        #expect(swsys_now() - start >= least)
        #expect(polled.allSatisfy { $0.revents == 0 })
        Glibc.close(wake)
      }.value
    }
  }

  /// The call for kernels that lack `epoll_pwait2` would fail here. In a process of its own no earlier wait has noted that
  /// the kernel lacks it.
  @Test func `a timed wait for events makes one call, whether it finds one or not`() async {
    await #expect(processExitsWith: .success) {
      let results = try await TestThread { () -> [Int32] in
        #expect(swsys_forbid_here(Int32(SWSYS_CALL_EPOLL_WAIT)) == 0)
        let (epoll, counter) = (swsys_epoll_create(), swsys_eventfd())
        _ = swsys_epoll_add(epoll, counter, 3, Int32(SWSYS_READABLE))
        return (0..<4).map { index in
          if index % 2 == 0 { _ = swsys_eventfd_signal(counter) }
          var event = swsys_event()
          return unsafe swsys_epoll_wait(epoll, &event, 1, 1_000_000)
        }
      }.value
      // Before Linux 5.11 there is only the other call.
      if results[0] < 0 { return }
      #expect(results == [1, 0, 1, 0])
    }
  }

  /// Sleeps are counted, and not timed: a busy machine takes the processor from a thread that does not sleep.
  @Test func `a look with poll does not sleep`() async throws {
    let (sleeps, found) = try await TestThread { () -> (Int, Int32) in
      let counter = swsys_eventfd()
      defer { Glibc.close(counter) }
      var polled = swsys_polled(fd: counter, events: swsys_poll_mask(1), revents: 0)
      let before = swsys_sleep_count()
      var found: Int32 = 0
      for _ in 0..<200 { unsafe found += swsys_poll(&polled, 1, 0) }
      return (swsys_sleep_count() - before, found)
    }.value
    #expect(found == 0 && sleeps < 100)
  }

  @Test func `a look for events does not wait, and a wait without a limit has none`() async throws {
    let results = try await TestThread { () -> [Int32] in
      // From here on no call may have another limit than 0.
      #expect(swsys_forbid_argument_here(Int32(SWSYS_CALL_EPOLL_WAIT), 3, .max) == 0)
      let epoll = swsys_epoll_create()
      defer { Glibc.close(epoll) }
      var event = swsys_event()
      return [0, -1].map { unsafe swsys_epoll_wait(epoll, &event, 1, $0) }
    }.value
    #expect(results == [0, -EPERM])
  }

  /// An event is told once, so a wait that found it must not be followed by another one.
  @Test func `the first wait with a limit loses no event`() async {
    await #expect(processExitsWith: .success) {
      var ends: [Int32] = [-1, -1]
      #expect(unsafe pipe(&ends) == 0)
      let epoll = swsys_epoll_create()
      #expect(swsys_epoll_add(epoll, ends[0], 7, Int32(SWSYS_READABLE)) == 0)
      #expect(unsafe write(ends[1], "x", 1) == 1)
      for nanoseconds in [60_000_000_000, 1] as [Int64] {
        // A change tells anew.
        #expect(swsys_epoll_modify(epoll, ends[0], 7, Int32(SWSYS_READABLE)) == 0)
        var event = swsys_event()
        #expect(unsafe swsys_epoll_wait(epoll, &event, 1, nanoseconds) == 1 && event.key == 7)
      }
    }
  }

  @Test func `a signal ends a wait, which says that nothing is ready`() async {
    await #expect(processExitsWith: .success) {
      signal(SIGUSR1) { _ in }
      let waits: [@Sendable () -> Int32] = [
        { swsys_wait(-1, 0, -1, -1) },
        {
          var polled = swsys_polled(fd: swsys_eventfd(), events: 1, revents: 99)
          let found = unsafe swsys_poll(&polled, 1, -1)
          return found == 0 ? Int32(polled.revents) : found
        },
        {
          var event = swsys_event()
          return unsafe swsys_epoll_wait(swsys_epoll_create(), &event, 1, -1)
        },
        {
          var event = swsys_event()
          return unsafe swsys_epoll_wait(swsys_epoll_create(), &event, 1, 1_000_000_000_000)
        },
      ]
      for wait in waits {
        let waiting = Guarded<pthread_t?>(nil)
        let result = Guarded<Int32?>(nil)
        let thread = TestThread {
          var signals = sigset_t()
          unsafe sigemptyset(&signals)
          unsafe sigaddset(&signals, SIGUSR1)
          unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
          waiting.withLock { $0 = pthread_self() }
          let found = wait()
          result.withLock { $0 = found }
        }
        while result.withLock({ $0 }) == nil {
          if let thread = waiting.withLock({ $0 }) { pthread_kill(thread, SIGUSR1) }
          await Task.yield()
        }
        try await thread.value
        #expect(result.withLock { $0 } == 0)
      }
    }
  }
}
