import CSysShim
import CSysTestSupport
import Glibc
import SWIO
import SWTesting
import TestSupport
import Testing

/// The C shim's connections.
@Suite(.lastResort, .leavesNothing) struct ShimConnectionTests {
  /// The address of a socket, in as many bytes as it has, and how many the shim returned.
  private func address(_ number: Int32, ofPeer: Bool = false, room: Int = 128) -> (result: Int32, [UInt8]) {
    var bytes = [UInt8](repeating: 0, count: room)
    let result = unsafe swsys_socket_address(number, ofPeer, &bytes, UInt32(room))
    return (result, Array(bytes.prefix(max(0, Int(result)))))
  }

  @Test func `a connection is accepted close-on-exec, and each end knows both addresses`()
    throws
  {
    let listener = swsys_socket(AF_INET, swsys_sock_stream)
    let loopback = try #require(SocketAddress(ip: "127.0.0.1", port: 0)).bytes
    #expect(unsafe swsys_bind(listener, loopback, UInt32(loopback.count)) == 0)
    #expect(swsys_is_listening(listener) == 0)
    #expect(swsys_listen(listener, 5) == 0)
    #expect(swsys_is_listening(listener) == 1)
    #expect(swsys_accept(listener) == -EAGAIN)
    let (length, name) = address(listener)
    #expect(length == 16 && name.count == 16)
    // An address that does not fit is cut.
    #expect(address(listener, room: 4).result == 4)
    #expect(address(listener, ofPeer: true).result == -ENOTCONN)
    let client = swsys_socket(AF_INET, swsys_sock_stream)
    let result = unsafe swsys_connect(client, name, UInt32(name.count))
    #expect(result == 0 || result == -EINPROGRESS)
    #expect(swsys_wait(client, Int32(SWSYS_WRITABLE), -1, -1) == 1)
    #expect(swsys_socket_error(client) == 0)
    #expect(swsys_wait(listener, Int32(SWSYS_READABLE), -1, -1) == 1)
    let server = swsys_accept(listener)
    for number in [listener, client, server] {
      #expect(number > 2 && swsys_get_close_on_exec(number) == 1)
      #expect(swsys_is_nonblocking(number) == (number == server ? 0 : 1))
    }
    swsys_end_connecting(client)
    #expect(swsys_is_nonblocking(client) == 0)
    #expect(address(client, ofPeer: true).1 == name && address(server).1 == name)
    #expect(address(server, ofPeer: true).1 == address(client).1)
    for number in [listener, client, server] { close(number) }
  }

  @Test func `a loss is looked for within a millisecond, or not at all`() throws {
    let number = swsys_socket(AF_INET, swsys_sock_stream)
    defer { close(number) }
    for (milliseconds, isOn) in [(1, 1), (0, 0), (86_400_000, 1)] as [(Int32, Int32)] {
      #expect(swsys_set_loss_detection(number, milliseconds) == 0)
      var (value, length) = (Int32(-1), socklen_t(4))
      let isRead = unsafe getsockopt(number, SOL_SOCKET, SO_KEEPALIVE, &value, &length) == 0
      #expect(isRead && value == isOn)
    }
  }

  @Test func `a socket for IPv6 takes IPv4 or does not, as it is told`() throws {
    let number = swsys_socket(AF_INET6, swsys_sock_stream)
    defer { close(number) }
    for isOn in [true, false] {
      #expect(swsys_set_v6_only(number, isOn) == 0)
      var (value, length) = (Int32(-1), socklen_t(4))
      let isRead = unsafe getsockopt(number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &value, &length) == 0
      #expect(isRead && value == (isOn ? 1 : 0))
    }
  }

  @Test func `the peer's process is found under a number above the standard streams`() throws {
    let (found, isFree) = try withOwnDescriptors { () -> (Int32, Bool) in
      var ends: [Int32] = [-1, -1]
      guard unsafe swsys_unix_pair(&ends, swsys_sock_stream) == 0 else { return (0, false) }
      close(0)
      let found = swsys_peer_pidfd(ends[0])
      return (found, fcntl(0, F_GETFD) < 0)
    }
    // Before Linux 6.5 there is no such option.
    #expect((found > 2 || found == -ENOPROTOOPT) && isFree)
  }

  // Some groups, and more than a first question to the kernel has room for. Only root may be in others than its own.
  @Test(.enabled(if: getuid() == 0), arguments: [0, 3, 64, 65, 700] as [Int32])
  func `all groups of a peer are found, however many`(_ count: Int32) {
    var ends: [Int32] = [-1, -1]
    #expect(unsafe swsys_pair_of_groups(&ends, count) == 0)
    var groups: UnsafeMutablePointer<UInt32>?
    let found = unsafe swsys_peer_groups(ends[0], &groups)
    #expect(found == count)
    let numbers = unsafe UnsafeBufferPointer(start: groups, count: max(0, Int(found)))
    #expect(unsafe Array(numbers) == (0..<UInt32(count)).map { 1_000 + $0 })
    unsafe swsys_free_groups(groups)
    for number in ends { close(number) }
    // A file that is no socket has none, and no memory is left for them.
    #expect(unsafe swsys_peer_groups(0, &groups) < 0)
    #expect(unsafe groups == nil)
  }

  @Test func `this process has one identity, and asking for it leaves nothing open`() throws {
    var (first, second) = (UInt64(0), UInt64(0))
    let result = unsafe swsys_process_pidfd_id(&first)
    // Before Linux 6.9 all processes have the same.
    if result == -EOPNOTSUPP, !swsys_kernel_is_at_least(6, 9) { return }
    #expect(result == 0 && first != 0)
    #expect(unsafe swsys_process_pidfd_id(&second) == 0 && second == first)
    let (isClean, refused) = try withOwnDescriptors { () -> (Bool, Int32) in
      var none = UInt64(0)
      let before = openDescriptors()
      guard unsafe swsys_process_pidfd_id(&none) == 0 else { return (false, 0) }
      let isClean = openDescriptors() == before
      guard swsys_forbid_here(Int32(SWSYS_CALL_PIDFD_OPEN)) == 0 else { return (false, 0) }
      return (isClean, unsafe swsys_process_pidfd_id(&none))
    }
    #expect(isClean && refused == -EPERM)
  }

  @Test func `descriptors are received above the standard streams, and leave those free`() throws {
    let (numbers, free) = try withOwnDescriptors { () -> ([Int32], [Int32]) in
      var ends: [Int32] = [-1, -1]
      guard unsafe swsys_unix_pair(&ends, swsys_sock_stream) == 0 else { return ([], []) }
      var byte: UInt8 = 7
      let sent = unsafe withUnsafeMutablePointer(to: &byte) { byte in
        var part = unsafe iovec(iov_base: byte, iov_len: 1)
        return unsafe swsys_send_accompanied(ends[0], &part, 1, [ends[0], ends[0]], 2, nil, 0)
      }
      close(0)
      close(1)
      var found: UnsafeMutablePointer<swsys_ancillary>?
      guard sent == 1, unsafe swsys_receive_message(ends[1], &byte, 1, SWSYS_UNIX_BYTES, &found) == 1,
        let found = unsafe found
      else { return ([], []) }
      defer { unsafe swsys_free_ancillary(found) }
      let numbers = unsafe withUnsafeBytes(of: found.pointee.descriptors) { bytes in
        unsafe Array(bytes.bindMemory(to: Int32.self).prefix(Int(found.pointee.descriptor_count)))
      }
      return (numbers, [0, 1].filter { fcntl($0, F_GETFD) < 0 })
    }
    #expect(numbers.count == 2 && numbers.allSatisfy { $0 > 2 } && free == [0, 1])
  }

  @Test func `a number that is an address is one, of either version`() throws {
    for (host, text) in [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80")] {
      #expect(try Resolver.addresses(of: host, port: 80).map { "\($0)" } == [text])
    }
  }

  @Test func `each failure of the resolver has its errno`() {
    let table = [
      (EAI_AGAIN, EAGAIN), (EAI_MEMORY, ENOMEM), (EAI_FAMILY, EAFNOSUPPORT), (EAI_FAIL, EIO),
      (EAI_NONAME, ENXIO),
    ]
    for (failure, errno) in table {
      #expect(swsys_resolver_errno(failure - Int32(SWSYS_RESOLVER)) == errno)
      let text = unsafe swsys_resolver_text(failure - Int32(SWSYS_RESOLVER)).map {
        unsafe String(cString: $0)
      }
      let expected = unsafe gai_strerror(failure).map { unsafe String(cString: $0) }
      #expect(text == expected && text != nil)
    }
  }
}
