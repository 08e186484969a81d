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

/// Transports over descriptors, attempt by attempt, without an endpoint.
@Suite(.lastResort, .leavesNothing) struct TransportTests {
  /// A transport that is closed with its object.
  private final class Held {
    let transport: any DescriptorTransport

    init(
      _ descriptor: consuming OwnedDescriptor, for directions: Readiness, _ features: KernelFeatures? = nil
    ) throws {
      let number = descriptor.withDescriptor { $0.rawValue }
      transport = try KernelFeatures.$override.withValue(features) {
        try makeTransport(over: number, for: directions)
      }
      _ = descriptor.release()
    }

    deinit { transport.close() }

    func receive(_ count: Int = 100, takingLong: Bool = false) -> (attempt: Attempt, bytes: [UInt8]) {
      var attempt = Attempt.wouldBlock
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { memory, filled in
        let room = UnsafeMutableRawBufferPointer(memory)
        attempt = unsafe takingLong ? transport.receiveTakingLong(into: room) : transport.receive(into: room)
        if case .transferred(let received) = attempt { filled = received }
      }
      return (attempt, bytes)
    }

    func peek(_ count: Int) -> (attempt: Attempt, bytes: [UInt8]) {
      var attempt = Attempt.wouldBlock
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { memory, filled in
        attempt = unsafe transport.peek(into: UnsafeMutableRawBufferPointer(memory))
        if case .transferred(let received) = attempt { filled = received }
      }
      return (attempt, bytes)
    }

    func send(_ bytes: [UInt8]) -> Attempt { unsafe bytes.withUnsafeBytes { unsafe transport.send($0) } }

    /// In two parts, with an empty one in between.
    func gather(_ bytes: [UInt8], takingLong: Bool = false, with ancillary: OutgoingAncillary? = nil)
      -> Attempt
    {
      unsafe bytes.withUnsafeBytes { whole in
        let middle = whole.count / 2
        let parts = unsafe [
          UnsafeRawBufferPointer(rebasing: whole[..<middle]), UnsafeRawBufferPointer(start: nil, count: 0),
          UnsafeRawBufferPointer(rebasing: whole[middle...]),
        ]
        return unsafe parts.withUnsafeBufferPointer { parts in
          if let ancillary { return unsafe transport.send(gathering: parts, with: ancillary) }
          return unsafe takingLong
            ? transport.sendTakingLong(gathering: parts) : transport.send(gathering: parts)
        }
      }
    }
  }

  private static func pair(_ kind: SocketPairKind) throws -> (Held, Held) {
    let pair = try DescriptorPair.sockets(kind)
    return (
      try Held(pair.first, for: [.readable, .writable]), try Held(pair.second, for: [.readable, .writable])
    )
  }

  private static func pipe(_ features: KernelFeatures? = nil) throws -> (reading: Held, writing: Held) {
    let pair = try DescriptorPair.pipe()
    return (try Held(pair.first, for: .readable, features), try Held(pair.second, for: .writable, features))
  }

  private static func scope(_ attempt: Attempt) -> TransportError.Scope? {
    if case .failed(let error) = attempt { return error.scope }
    return nil
  }

  /// An attempt on a pipe may wait for ever; one on a file ends.
  @Test func `attempts on pipes may hang, and others do not`() throws {
    #expect(try Self.pipe().reading.transport.capabilities.attemptsMayHang)
    for branch: KernelBranch in [.native, .signalling, .reopened, .polled] {
      #expect(try Self.pipe(branch.features).reading.transport.capabilities.attemptsMayHang)
    }
    let file = try Held(
      OwnedDescriptor(adopting: .open(FilePath("/proc/self/exe"), .readOnly)), for: .readable)
    #expect(!file.transport.capabilities.attemptsMayHang)
    let (left, _) = try Self.pair(.unix)
    #expect(!left.transport.capabilities.attemptsMayHang)
  }

  // MARK: Sockets

  @Test(arguments: [SocketPairKind.unix, .tcp, .tcp6])
  func `a stream socket moves what it can, and says how it ends`(_ kind: SocketPairKind) throws {
    let (left, right) = try Self.pair(kind)
    #expect(left.transport.content == .stream && left.transport.drainsInOneReceive)
    #expect(left.receive().attempt == .wouldBlock && left.peek(10).attempt == .wouldBlock)
    #expect(right.send([1, 2, 3]) == .transferred(3))
    #expect(right.gather([4, 5]) == .transferred(2))
    #expect(swsys_wait(left.transport.working, Int32(SWSYS_READABLE), -1, -1) == 1)
    #expect(left.peek(2).bytes == [1, 2])
    #expect(left.receive(2).bytes == [1, 2])
    while left.receive(3).bytes.last != 5 {}
    var sent = 0
    while case .transferred(let count) = right.send([UInt8](repeating: 7, count: 100_000)) { sent += count }
    #expect(right.send([1]) == .wouldBlock && sent > 0)
    try right.transport.finishSending()
    while case .transferred = left.receive(100_000).attempt {}
    #expect(swsys_wait(left.transport.working, Int32(SWSYS_READABLE), -1, -1) == 1)
    var last = left.receive(100_000).attempt
    while last != .endOfStream {
      if case .failed = last { break }
      last = left.receive(100_000).attempt
    }
    #expect(last == .endOfStream && left.peek(1).attempt == .endOfStream)
    #expect(left.send([1]) == .transferred(1))
    #expect(right.send([1]) == .failed(TransportError(.send, .brokenPipe)))
    // Credentials are of the Unix domain.
    if kind == .unix {
      try left.transport.setReceivesCredentials(true)
    } else {
      #expect(throws: TransportError(.receive, .notSupported)) {
        try left.transport.setReceivesCredentials(true)
      }
    }
  }

  @Test func `what goes along may be wrong, and then only that send fails`() throws {
    let (left, right) = try Self.pair(.unix)
    let wrong = OutgoingAncillary(descriptors: [FileDescriptor(rawValue: 1_000_000)])
    let attempt = right.gather([1, 2], with: wrong)
    #expect(attempt == .failed(TransportError(.send, .badFileDescriptor)) && Self.scope(attempt) == .item)
    #expect(right.gather([1, 2], with: OutgoingAncillary()) == .transferred(2))
    #expect(left.receive().bytes == [1, 2])
    // The connection's own end is of the connection.
    let other = try DescriptorPair.sockets()
    let alone = try Held(other.first, for: [.readable, .writable])
    _ = other.second.withDescriptor { shutdown($0.rawValue, Int32(SHUT_RDWR)) }
    let broken = alone.gather([1], with: OutgoingAncillary())
    #expect(broken == .failed(TransportError(.send, .brokenPipe)) && Self.scope(broken) == nil)
  }

  @Test func `closing may take long where a peer decides how long`() throws {
    let expected: [(SocketPairKind, Bool)] = [
      (.unix, true), (.tcp, false), (.tcp6, false), (.unixDatagrams, true), (.unixPackets, true),
    ]
    for (kind, takesLong) in expected {
      let pair = try DescriptorPair.sockets(kind)
      let held = try Held(pair.first, for: .readable)
      #expect(held.transport.mayTakeLongToClose == takesLong, "\(kind)")
    }
    // A socket of packets knows its end, and has nothing more to give up.
    let (ended, ending) = try Self.pair(.unixPackets)
    #expect(shutdown(ending.transport.number, Int32(SHUT_WR)) == 0)
    #expect(ended.receive().attempt == .endOfStream)
    #expect(ended.transport.mayTakeLongToClose == !KernelFeatures.collectsInBackground)
    // Others may have it, and it makes no difference.
    #expect(!ended.transport.isCloseUpToPeer())
    let pipe = try Self.pipe()
    #expect(pipe.reading.transport.mayTakeLongToClose && pipe.writing.transport.mayTakeLongToClose)
    for path in ["/proc/self/exe", "/dev/null"] {
      let file = OwnedDescriptor(adopting: try FileDescriptor.open(FilePath(path), .readOnly))
      #expect(try Held(file, for: .readable).transport.mayTakeLongToClose)
    }
    let pair = try DescriptorPair.sockets(.tcp)
    let lingering = try Held(pair.first, for: .readable)
    var option = linger(l_onoff: 1, l_linger: 1)
    let number = lingering.transport.number
    #expect(
      unsafe setsockopt(number, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size)) == 0)
    #expect(lingering.transport.mayTakeLongToClose)
    // A stream of another family, as far as the kernel has one: the library does not know how it closes.
    let other = socket(AF_VSOCK, Int32(SOCK_STREAM.rawValue), 0)
    if other >= 0 {
      let socket = OwnedDescriptor(adopting: FileDescriptor(rawValue: other))
      #expect(try Held(socket, for: .readable).transport.mayTakeLongToClose)
    }
    for givingUpName in [nil, {}] as [(@Sendable () -> Void)?] {
      let number = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
      let transport = try DatagramSocket(number, isPacket: false, willClose: givingUpName)
      #expect(transport.mayTakeLongToClose == (givingUpName != nil))
      close(number)
    }
  }

  /// A socket that is connected to nothing.
  private static func unconnected(_ type: __socket_type) -> Int32 { socket(AF_UNIX, Int32(type.rawValue), 0) }

  private func send(_ transport: any DescriptorTransport, with ancillary: OutgoingAncillary) -> Attempt {
    let bytes: [UInt8] = [1]
    return unsafe bytes.withUnsafeBytes { bytes in
      unsafe withUnsafePointer(to: bytes) { part in
        unsafe transport.send(gathering: UnsafeBufferPointer(start: part, count: 1), with: ancillary)
      }
    }
  }

  private func failure(_ attempt: Attempt) -> TransportError? {
    if case .failed(let error) = attempt { error } else { nil }
  }

  @Test func `an error of a send says whose it is: the datagram's, the direction's or the socket's`() throws {
    let descriptors = OutgoingAncillary(descriptors: [.standardError])
    // Packets come over a connection, and datagrams do not.
    for (isPacket, scope) in [(true, TransportError.Scope.connection), (false, .item)] {
      let number = Self.unconnected(isPacket ? SOCK_SEQPACKET : SOCK_DGRAM)
      let transport = try DatagramSocket(number, isPacket: isPacket)
      let error = failure(send(transport, with: OutgoingAncillary()))
      #expect(error?.errno == .socketNotConnected && error?.scope == scope)
      let nowhere = OutgoingAncillary(address: SocketAddress(abstractName: "sw-nowhere"))
      #expect(failure(send(transport, with: nowhere))?.scope == .item)
      let wrong = try withOwnDescriptors {
        // In this table the number stays nobody's.
        close(number)
        return failure(send(transport, with: OutgoingAncillary()))
      }
      close(number)
      #expect(wrong?.errno == .badFileDescriptor && wrong?.scope == .connection)
    }
    // A receiver of datagrams that has stopped may begin again.
    let deaf = try Self.pair(.unixDatagrams)
    #expect(shutdown(deaf.1.transport.number, Int32(SHUT_RD)) == 0)
    let unheard = failure(deaf.0.send([1]))
    #expect(unheard?.errno == .brokenPipe && unheard?.scope == .item)
    let pair = try DescriptorPair.sockets(.unixPackets)
    let packets = try Held(pair.first, for: .writable)
    close(pair.second.release().rawValue)
    let broken = failure(send(packets.transport, with: descriptors))
    #expect(broken?.errno == .brokenPipe && broken?.scope == .direction)
  }

  @Test func `a socket that has lost its connection can be told the end`() throws {
    let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    let transport = try makeTransport(over: number, for: .writable)
    #expect(throws: Never.self) { try transport.finishSending() }
    close(number)
    #expect(throws: TransportError(.finishSending, .badFileDescriptor)) { try transport.finishSending() }
  }

  @Test func `a socket that is connected for the library is taken for what it is said to be`() throws {
    for (kind, said) in [
      (SocketPairKind.unix, ConnectionKind.stream), (.unixPackets, .packets), (.unixDatagrams, .datagrams),
    ] {
      let pair = try DescriptorPair.sockets(kind)
      let transport = try pair.first.withDescriptor {
        try makeTransport(connected: $0.rawValue, said, isUnix: true)
      }
      #expect(transport.content == (kind == .unix ? .stream : .datagrams))
      #expect(transport.drainsInOneReceive == (kind == .unix))
      // Only what ends can be told to.
      if kind == .unixDatagrams {
        #expect(throws: TransportError(.finishSending, .notSupported)) { try transport.finishSending() }
      } else {
        #expect(throws: Never.self) { try transport.finishSending() }
      }
    }
  }

  @Test func `a stream of another protocol promises nothing of a short read`() throws {
    let multipath = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 262)  // IPPROTO_MPTCP, Linux 5.6
    if multipath < 0 { return }
    let stream = try Held(OwnedDescriptor(adopting: FileDescriptor(rawValue: multipath)), for: .readable)
    #expect(!stream.transport.drainsInOneReceive)
  }

  @Test func `the peer's name is no barrier in a stream`() throws {
    let name = try #require(SocketAddress(abstractName: "sw-stream-\(getpid())")).bytes
    let (listener, client) = (
      swsys_socket(AF_UNIX, swsys_sock_stream), swsys_socket(AF_UNIX, swsys_sock_stream)
    )
    defer { close(listener) }
    #expect(unsafe swsys_bind(listener, name, UInt32(name.count)) == 0 && swsys_listen(listener, 1) == 0)
    #expect(unsafe swsys_connect(client, name, UInt32(name.count)) == 0)
    let server = swsys_accept(listener)
    let (reading, writing) = (
      try Held(OwnedDescriptor(adopting: FileDescriptor(rawValue: client)), for: .readable),
      try Held(OwnedDescriptor(adopting: FileDescriptor(rawValue: server)), for: .writable)
    )
    #expect(writing.send([1, 2]) == .transferred(2))
    #expect(reading.receive(1).bytes == [1])
    var ancillary: Ancillary?
    #expect(Self.receive(reading, maximumDescriptors: 1, &ancillary) == .transferred(1) && ancillary == nil)
    #expect(reading.transport.drainsInOneReceive)
  }

  /// Receives one byte with its control data.
  private static func receive(_ held: Held, maximumDescriptors: Int, _ ancillary: inout Ancillary?) -> Attempt
  {
    var byte: UInt8 = 0
    return unsafe withUnsafeMutableBytes(of: &byte) { room in
      unsafe held.transport.receive(into: room, maximumDescriptors: maximumDescriptors, ancillary: &ancillary)
    }
  }

  @Test func `descriptors for which there are no numbers are missed`() async {
    await #expect(processExitsWith: .success) {
      let (receiver, sender) = try Self.pair(.unix)
      limitDescriptors(64)
      let passed = OutgoingAncillary(descriptors: [.standardError])
      #expect(sender.gather([1], with: passed) == .transferred(1))
      // Invariant: the thread has ended when the call returns.
      nonisolated(unsafe) let held = receiver
      let isMissed = try withOwnDescriptors { () -> Bool in
        while dup(0) >= 0 {}
        var ancillary: Ancillary?
        let attempt = unsafe Self.receive(held, maximumDescriptors: 1, &ancillary)
        return attempt == .transferred(1) && ancillary?.lostDescriptors == true
          && ancillary?.descriptors == nil
      }
      #expect(isMissed)
    }
  }

  @Test func `descriptors that are not wanted are not missed`() throws {
    let pair = try DescriptorPair.sockets(.unix)
    let (receiver, sender) = (try Held(pair.first, for: .readable), try Held(pair.second, for: .writable))
    #expect(send(sender.transport, with: OutgoingAncillary(descriptors: [.standardError])) == .transferred(1))
    var ancillary: Ancillary?
    #expect(Self.receive(receiver, maximumDescriptors: 0, &ancillary) == .transferred(1) && ancillary == nil)
  }

  /// A transport of a user's that sends parts as the library does by default.
  private final class Recorder: SocketLike {
    let content: TransportContent
    let sends = Guarded<[[UInt8]]>([])
    init(_ content: TransportContent) { self.content = content }
    var readinessSource: ReadinessSource { .signal }
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt { .wouldBlock }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
      let sent = unsafe Array(bytes)
      sends.withLock { $0.append(sent) }
      return .transferred(sent.count)
    }
    func finishSending() throws(TransportError) {}
    func close() {}
  }

  @Test(
    arguments: [
      ([], 0, 0), ([10], 10, 10), ([10, 20], 30, 30), ([20_000], 20_000, 20_000),
      ([20_000, 5], 20_000, 20_005),
      ([16_384, 5], 16_384, 16_389), ([16_383, 5], 16_384, 16_388), ([10, 20_000, 5], 16_384, 20_015),
    ] as [([Int], Int, Int)])
  func `parts are copied into one block, up to 16 KiB, and a datagram whole`(
    _ sizes: [Int], _ stream: Int, _ datagram: Int
  ) {
    let bytes = pattern(sizes.reduce(0, +))
    for (content, expected) in [(TransportContent.stream, stream), (.datagrams, datagram)] {
      let recorder = Recorder(content)
      let attempt = unsafe bytes.withUnsafeBytes { whole in
        var parts = unsafe [UnsafeRawBufferPointer]()
        var offset = 0
        for size in sizes {
          unsafe parts.append(UnsafeRawBufferPointer(rebasing: whole[offset..<offset + size]))
          offset += size
        }
        return unsafe parts.withUnsafeBufferPointer { unsafe recorder.send(gathering: $0) }
      }
      #expect(attempt == .transferred(expected))
      #expect(recorder.sends.withLock { $0 } == [Array(bytes.prefix(expected))])
    }
  }

  @Test func `a barrier is remembered: a short read says nothing of what is behind it`() throws {
    for takesDescriptors in [false, true] {
      let (left, right) = try Self.pair(.unix)
      #expect(left.transport.drainsInOneReceive)
      let passed = OutgoingAncillary(descriptors: [FileDescriptor(rawValue: right.transport.number)])
      #expect(right.gather([1], with: passed) == .transferred(1))
      if takesDescriptors {
        var ancillary: Ancillary?
        #expect(Self.receive(left, maximumDescriptors: 1, &ancillary) == .transferred(1))
        #expect(ancillary?.descriptors?.count == 1)
      } else {
        #expect(left.receive().bytes == [1])
      }
      #expect(!left.transport.drainsInOneReceive)
    }
  }

  @Test(arguments: [SocketPairKind.unixDatagrams, .unixPackets])
  func `a datagram socket moves one whole, and errors are of one`(_ kind: SocketPairKind) throws {
    let (left, right) = try Self.pair(kind)
    #expect(left.transport.content == .datagrams)
    #expect(left.receive().attempt == .wouldBlock)
    #expect(left.transport.nextDatagramSize() == .wouldBlock)
    for bytes in [[1, 2, 3], [], [4], [5, 6, 7, 8]] as [[UInt8]] {
      #expect(right.send(bytes) == .transferred(bytes.count))
    }
    #expect(left.transport.nextDatagramSize() == .transferred(3))
    #expect(left.peek(2).bytes == [1, 2])
    #expect(left.receive().bytes == [1, 2, 3])
    #expect(left.transport.nextDatagramSize() == .transferred(0))
    #expect(left.peek(1).attempt == .transferred(0))
    #expect(left.receive().attempt == .transferred(0))
    #expect(left.receive().bytes == [4])
    let cut = left.receive(2).attempt
    #expect(cut == .failed(TransportError(.receive, .messageTooLong)) && Self.scope(cut) == .item)
    let large = right.send([UInt8](repeating: 1, count: 10_000_000))
    #expect(large == .failed(TransportError(.send, .messageTooLong)) && Self.scope(large) == .item)
    // The descriptors or the address may be wrong, and then only that datagram fails.
    let wrong = right.gather(
      [1, 2], with: OutgoingAncillary(descriptors: [FileDescriptor(rawValue: 1_000_000)]))
    #expect(wrong == .failed(TransportError(.send, .badFileDescriptor)) && Self.scope(wrong) == .item)
    try left.transport.setReceivesCredentials(true)
    var (passes, length) = (Int32(0), socklen_t(4))
    let isRead = unsafe getsockopt(left.transport.number, SOL_SOCKET, SO_PASSCRED, &passes, &length) == 0
    #expect(isRead && passes == 1)
    try left.transport.setReceivesCredentials(false)
    // A receiver that takes nothing is waited for by readiness, as there is one only.
    while case .transferred = right.send([9]) {}
    #expect(right.send([9]) == .wouldBlock && right.gather([9], with: OutgoingAncillary()) == .wouldBlock)
    while case .transferred = left.receive().attempt {}
    if kind == .unixPackets {
      try right.transport.finishSending()
      #expect(left.transport.nextDatagramSize() == .endOfStream && left.peek(1).attempt == .endOfStream)
      let ended = right.send([1])
      #expect(ended == .failed(TransportError(.send, .brokenPipe)) && Self.scope(ended) == .direction)
    }
  }

  @Test func `a UDP socket has no credentials, and knows no peer by itself`() throws {
    let number = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    let socket = try Held(
      OwnedDescriptor(adopting: FileDescriptor(rawValue: number)), for: [.readable, .writable])
    #expect(throws: TransportError(.receive, .notSupported)) {
      try socket.transport.setReceivesCredentials(true)
    }
    #expect(socket.receive().attempt == .wouldBlock && socket.transport.nextDatagramSize() == .wouldBlock)
    let lost = socket.send([1])
    #expect(Self.scope(lost) == .item)
  }

  // MARK: Pipes

  @Test(arguments: [KernelBranch.native, .signalling, .reopened])
  func `a pipe moves what it can, and an error is of its direction`(_ branch: KernelBranch) throws {
    let (reading, writing) = try Self.pipe(branch.features)
    #expect(reading.transport.capabilities.atomicSendSize == 4096)
    #expect(reading.transport.capabilities.packetSize == 4096 && !reading.transport.capabilities.keepsPackets)
    #expect(!reading.transport.drainsInOneReceive)
    #expect(reading.receive().attempt == .wouldBlock)
    #expect(writing.send([1, 2, 3]) == .transferred(3) && writing.gather([4, 5]) == .transferred(2))
    #expect(reading.receive(4).bytes == [1, 2, 3, 4] && reading.receive().bytes == [5])
    while case .transferred = writing.gather([UInt8](repeating: 7, count: 8_192)) {}
    #expect(writing.send([UInt8](repeating: 7, count: 8_192)) == .wouldBlock)
    #expect(throws: TransportError(.finishSending, .notSupported)) { try writing.transport.finishSending() }
    let other = try Self.pipe(branch.features)
    let isOpenAtEnd = Guarded<[Bool]>([])
    let transport = other.reading.transport
    let working = transport.working
    transport.closeWorking { isOpenAtEnd.withLock { $0.append(fcntl(working, F_GETFD) >= 0) } }
    #expect(isOpenAtEnd.withLock { $0 } == [working == transport.number])
    let lonely = try DescriptorPair.pipe()
    let writer = try Held(lonely.second, for: .writable, branch.features)
    Self.drop(lonely.first)
    let broken = writer.send([1])
    #expect(broken == .failed(TransportError(.send, .brokenPipe)) && Self.scope(broken) == .direction)
  }

  @Test func `the reactor itself closes what cannot take long`() async throws {
    let pair = try DescriptorPair.sockets(.tcp)
    let transport = try makeTransport(over: pair.first.release().rawValue, for: .readable)
    await Task(executorPreference: .reactor) { @Sendable in
      let isClosed = Guarded(false)
      transport.close { isClosed.withLock { $0 = true } }
      #expect(isClosed.withLock { $0 })
    }.value
  }

  private static func drop(_ descriptor: consuming OwnedDescriptor) {}

  @Test func `a pipe without a writer ends, on every kernel`() throws {
    for branch in [KernelBranch.native, .reopened, .polled] {
      let pair = try DescriptorPair.pipe()
      let reader = try Held(pair.first, for: .readable, branch.features)
      _ = try pair.second.withDescriptor { try $0.writeAll([1]) }
      Self.drop(pair.second)
      #expect(reader.receive().bytes == [1])
      #expect(reader.receive().attempt == .endOfStream)
    }
  }

  @Test(arguments: [false, true])
  func `no attempt on a pipe that cannot be opened again waits`(hasNonblock: Bool) throws {
    let (reading, writing) = try Self.pipe(KernelBranch.polled.features)
    for held in [reading, writing] { #expect(swsys_set_nonblocking(held.transport.number, hasNonblock) == 0) }
    let before = libraryDescriptors()
    #expect(reading.receive().attempt == .wouldBlock)
    #expect(writing.send([1]) == .transferred(1) && writing.gather([2, 3]) == .transferred(2))
    #expect(reading.receive(1).bytes == [1] && reading.receive().bytes == [2, 3])
    // No more at once than goes out whole or not at all.
    let bytes = pattern(10_000)
    #expect(writing.gather(bytes) == .transferred(4_096))
    #expect(reading.receive(10_000).bytes == Array(bytes[..<4_096]))
    while case .transferred = writing.gather(bytes) {}
    #expect(writing.gather(bytes) == .wouldBlock && writing.send([1]) == .wouldBlock)
    // A part of the room is not enough, and nothing is moved.
    #expect(reading.receive(100).bytes.count == 100 && writing.gather(bytes) == .wouldBlock)
    #expect(reading.receive(5_000).bytes == Array(bytes[100..<4_096]))
    #expect(writing.gather(bytes) == .transferred(4_096))
    #expect(libraryDescriptors() == before)
    // Without a reader it stays full, and is broken all the same.
    let lonely = try DescriptorPair.pipe()
    let writer = try Held(lonely.second, for: .writable, KernelBranch.polled.features)
    while case .transferred = writer.gather(bytes) {}
    Self.drop(lonely.first)
    let broken = writer.gather([1])
    #expect(broken == .failed(TransportError(.send, .brokenPipe)) && Self.scope(broken) == .direction)
    #expect(writer.send([1]) == .failed(TransportError(.send, .brokenPipe)))
  }

  @Test func `without a free number the attempt is left to a thread that may wait`() async {
    await #expect(processExitsWith: .success) {
      let (reading, writing) = try Self.pipe(KernelBranch.polled.features)
      var limit = rlimit()
      _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      var none = rlimit(rlim_cur: 1, rlim_max: limit.rlim_max)
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &none)
      let sent = [writing.send([1]), writing.gather([1, 2, 3], takingLong: true)]
      let received = (reading.receive().attempt, reading.receive(takingLong: true).bytes)
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      try #require(sent == [.offload, .transferred(3)])
      try #require(received == (.offload, [1, 2, 3]))
      try #require(reading.receive().attempt == .wouldBlock)
    }
  }

  /// Another process that shares the description may clear O_NONBLOCK between a look at it and the attempt.
  @Test(arguments: [false, true], [Errno.notPermitted, .noFunction, .permissionDenied, .invalidArgument])
  func `where splice is refused an attempt is left to a thread that may wait, if there is something to move`(
    hasNonblock: Bool, _ errno: Errno
  ) async throws {
    let (reading, writing) = try Self.pipe(KernelBranch.polled.features)
    for held in [reading, writing] { #expect(swsys_set_nonblocking(held.transport.number, hasNonblock) == 0) }
    let bytes = pattern(10_000)
    let received: @Sendable (Held) -> Attempt = { $0.receive().attempt }
    let splice = SWSYS_CALL_SPLICE
    #expect(try await Self.attempt(reading, refused: splice, errno, received) == .wouldBlock)
    #expect(reading.receive(takingLong: true).attempt == .wouldBlock)
    #expect(try await Self.attempt(writing, refused: splice, errno) { $0.send([1]) } == .offload)
    #expect(try await Self.attempt(writing, refused: splice, errno) { $0.gather([1, 2]) } == .offload)
    #expect(writing.gather([1, 2, 3], takingLong: true) == .transferred(3))
    #expect(try await Self.attempt(reading, refused: splice, errno, received) == .offload)
    #expect(reading.receive(takingLong: true).bytes == [1, 2, 3])
    // No more at once than is written without waiting.
    #expect(writing.gather(bytes, takingLong: true) == .transferred(4_096))
    #expect(reading.receive(10_000, takingLong: true).bytes == Array(bytes[..<4_096]))
    while case .transferred = writing.gather(bytes, takingLong: true) {}
    #expect(writing.gather(bytes, takingLong: true) == .wouldBlock)
    #expect(try await Self.attempt(writing, refused: splice, errno) { $0.send([1]) } == .wouldBlock)
    let lonely = try DescriptorPair.pipe()
    let writer = try Held(lonely.second, for: .writable, KernelBranch.polled.features)
    while case .transferred = writer.gather(bytes, takingLong: true) {}
    Self.drop(lonely.first)
    let broken = writer.gather([1], takingLong: true)
    #expect(broken == .failed(TransportError(.send, .brokenPipe)) && Self.scope(broken) == .direction)
  }

  @Test func `a pipe whose reading end says that it brings packets always has room for one`() throws {
    for branch in [KernelBranch.native, .reopened, .polled] {
      for isDeclared in [false, true] {
        var ends: [Int32] = [-1, -1]
        #expect(unsafe swsys_packet_pipe(&ends, isDeclared) == 0)
        close(ends[1])
        let reading = OwnedDescriptor(adopting: FileDescriptor(rawValue: ends[0]))
        #expect(
          try Held(reading, for: .readable, branch.features).transport.capabilities.keepsPackets == isDeclared
        )
      }
    }
  }

  // MARK: Errors of the kernel

  /// An attempt on a thread to which the kernel refuses a call.
  private static func attempt(
    _ held: Held, refused call: Int, _ errno: Errno,
    _ body: @escaping @Sendable (Held) -> Attempt
  ) async throws -> Attempt {
    // Invariant: this caller waits until the thread has ended.
    nonisolated(unsafe) let held = held
    return try await TestThread {
      #expect(swsys_fail_here(Int32(call), errno.rawValue) == 0)
      return unsafe body(held)
    }.value
  }

  @Test func `memory that the kernel lacks is waited for, and other errors end what they concern`()
    async throws
  {
    let bytes: [UInt8] = [1]
    let passed = OutgoingAncillary(descriptors: [.standardError])
    let (stream, streamPeer) = try Self.pair(.unix)
    let (datagrams, datagramPeer) = try Self.pair(.unixDatagrams)
    let pipe = try Self.pipe(KernelBranch.reopened.features)
    let file = try Held(
      OwnedDescriptor(adopting: try FileDescriptor.open(FilePath("/proc/self/exe"), .readOnly)),
      for: .readable)
    for held in [stream, datagrams] {
      let other = held === stream ? TransportError.Scope?.none : .item
      for errno in [Errno.noBufferSpace, .noMemory, .tooManyReferences] {
        let sent = try await Self.attempt(held, refused: SWSYS_CALL_SENDTO, errno) { $0.send(bytes) }
        let gathered = try await Self.attempt(held, refused: SWSYS_CALL_SENDMSG, errno) { $0.gather(bytes) }
        let accompanied = try await Self.attempt(held, refused: SWSYS_CALL_SENDMSG, errno) {
          $0.gather(bytes, with: passed)
        }
        let received = try await Self.attempt(held, refused: SWSYS_CALL_RECVMSG, errno) {
          $0.receive().attempt
        }
        #expect([sent, gathered, accompanied, received].allSatisfy { $0 == .retryLater }, "\(errno)")
        guard held === datagrams else { continue }
        let addressed = try await Self.attempt(held, refused: SWSYS_CALL_SENDMSG, errno) {
          $0.gather(bytes, with: OutgoingAncillary(address: SocketAddress(abstractName: "nobody")))
        }
        #expect(addressed == .retryLater, "\(errno)")
      }
      let sent = try await Self.attempt(held, refused: SWSYS_CALL_SENDTO, .ioError) { $0.send(bytes) }
      #expect(sent == .failed(TransportError(.send, .ioError)) && Self.scope(sent) == other)
      let accompanied = try await Self.attempt(held, refused: SWSYS_CALL_SENDMSG, .notSupported) {
        $0.gather(bytes, with: passed)
      }
      #expect(
        accompanied == .failed(TransportError(.send, .notSupported)) && Self.scope(accompanied) == .item)
      let received = try await Self.attempt(held, refused: SWSYS_CALL_RECVMSG, .ioError) {
        $0.receive().attempt
      }
      #expect(received == .failed(TransportError(.receive, .ioError)) && Self.scope(received) == other)
    }
    for errno in [Errno.connectionReset, .socketNotConnected, .brokenPipe] {
      let lost = try await Self.attempt(stream, refused: SWSYS_CALL_SENDMSG, errno) {
        $0.gather(bytes, with: passed)
      }
      #expect(lost == .failed(TransportError(.send, errno)) && Self.scope(lost) == nil)
    }
    // Before Linux 5.10 or so a file says in one of the first three ways that it cannot tell. The next two come from a filter of
    // system calls.
    let refusals: [Errno] = [
      .wouldBlock, .notSupported, .invalidArgument, .noFunction, .notPermitted, .ioError,
    ]
    for errno in refusals {
      let read = try await Self.attempt(file, refused: SWSYS_CALL_PREADV2, errno) { $0.receive().attempt }
      #expect(read == .offload, "\(errno)")
    }
    let read = try await Self.attempt(file, refused: SWSYS_CALL_READ, .ioError) {
      $0.receive(takingLong: true).attempt
    }
    #expect(read == .failed(TransportError(.receive, .ioError)) && Self.scope(read) == .direction)
    let long = try await Self.attempt(file, refused: SWSYS_CALL_READ, .noMemory) {
      $0.receive(takingLong: true).attempt
    }
    #expect(long == .retryLater)
    for errno in [Errno.noMemory, .ioError] {
      let received = try await Self.attempt(pipe.reading, refused: SWSYS_CALL_READ, errno) {
        $0.receive().attempt
      }
      let sent = try await Self.attempt(pipe.writing, refused: SWSYS_CALL_WRITE, errno) { $0.send(bytes) }
      #expect(received == (errno == .noMemory ? .retryLater : .failed(TransportError(.receive, errno))))
      #expect(sent == (errno == .noMemory ? .retryLater : .failed(TransportError(.send, errno))))
    }
    // A file that can be written: the process's own is a program that runs.
    let null = try Held(
      OwnedDescriptor(adopting: try FileDescriptor.open(FilePath("/dev/null"), .writeOnly)), for: .writable)
    for errno in [Errno.noSpace, .diskQuotaExceeded, .ioError] {
      let sent = try await Self.attempt(null, refused: SWSYS_CALL_WRITE, errno) { $0.send(bytes) }
      #expect(sent == .failed(TransportError(.send, errno)))
      #expect(Self.scope(sent) == (errno == .ioError ? .direction : .item), "\(errno)")
    }
    withExtendedLifetime((streamPeer, datagramPeer)) {}
  }

  // MARK: Files

  @Test func `a file is read a little at once, and leaves much, and all writes, to a thread that may wait`()
    throws
  {
    let template = "/tmp/sw-transport-XXXXXX"
    var path = Array(template.utf8CString)
    let number = unsafe mkstemp(&path)
    try #require(number >= 0)
    unsafe unlink(path)
    let file = try Held(
      OwnedDescriptor(adopting: FileDescriptor(rawValue: number)), for: [.readable, .writable])
    let bytes = pattern(65_536)
    #expect(file.send([1]) == .offload && file.gather([1]) == .offload)
    #expect(file.gather(Array(bytes[..<65_535]), takingLong: true) == .transferred(65_535))
    #expect(file.gather([1, 2, 3], takingLong: true) == .transferred(3))
    #expect(file.gather(bytes, takingLong: true) == .transferred(65_536))
    #expect(lseek(number, 0, SEEK_SET) == 0)
    #expect(file.receive(65_536).attempt == .offload)
    #expect(file.receive(65_536, takingLong: true).bytes == Array(bytes[..<65_535]) + [1])
    // Data in the page cache is returned at once.
    #expect(file.receive(2).bytes == [2, 3])
    #expect(file.receive(65_536, takingLong: true).bytes == bytes)
    #expect(file.receive(10).attempt == .endOfStream)
    #expect(file.receive(65_536, takingLong: true).attempt == .endOfStream)
  }

  // MARK: What is refused

  @Test func `a descriptor is taken for what it is open for, and for nothing else`() throws {
    let pair = try DescriptorPair.pipe()
    let (reading, writing) = (
      pair.first.withDescriptor { $0.rawValue }, pair.second.withDescriptor { $0.rawValue }
    )
    let badDescriptor = TransportError(.adopt, .badFileDescriptor)
    for directions in [.writable, [.readable, .writable]] as [Readiness] {
      #expect(throws: badDescriptor) { _ = try makeTransport(over: reading, for: directions) }
    }
    for directions in [.readable, [.readable, .writable]] as [Readiness] {
      #expect(throws: badDescriptor) { _ = try makeTransport(over: writing, for: directions) }
    }
    #expect(throws: badDescriptor) { _ = try makeTransport(over: 1_000_000, for: .readable) }
    for path in ["/proc/self/exe", "/dev/null"] {
      // O_PATH, which SystemPackage does not name.
      let options: FileDescriptor.OpenOptions = [.init(rawValue: 0o10_000_000), .closeOnExec]
      let named = try OwnedDescriptor(
        adopting: FileDescriptor.open(FilePath(path), .readOnly, options: options))
      #expect(throws: badDescriptor) {
        try named.withDescriptor { _ = try makeTransport(over: $0.rawValue, for: .readable) }
      }
    }
    _ = try makeTransport(over: reading, for: .readable)
    _ = try makeTransport(over: writing, for: .writable)
  }

  @Test func `errors are equal if operation and number are, whatever they end`() {
    let error = TransportError(.send, .brokenPipe)
    #expect(error == TransportError(.send, .brokenPipe, scope: .direction))
    #expect(error != TransportError(.receive, .brokenPipe) && error != TransportError(.send, .badAddress))
    let all: Set = [
      error, TransportError(.send, .brokenPipe, scope: .item), TransportError(.receive, .brokenPipe),
      TransportError(.send, .badAddress),
    ]
    #expect(all.count == 3)
  }

  @Test func `a transport of the library's own asks the descriptor for credentials`() throws {
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { $0.rawValue }
    let transport = try SystemTransport(adopting: pair.first)
    try transport.setReceivesCredentials(true)
    var (passes, length) = (Int32(0), socklen_t(4))
    let isRead = unsafe getsockopt(number, SOL_SOCKET, SO_PASSCRED, &passes, &length) == 0
    #expect(isRead && passes == 1)
    transport.close()
  }

  // MARK: Packets

  @Test func `what did not fit of a packet waits, and is asked for first`() throws {
    var capabilities = TransportCapabilities()
    #expect(PacketRest(capabilities) == nil)
    capabilities.packetSize = 10
    let rest = try #require(PacketRest(capabilities))
    #expect(rest.serves(9, readsAhead: true) && !rest.serves(10, readsAhead: true))
    #expect(!rest.serves(9, readsAhead: false))
    capabilities.keepsPackets = true
    let keeping = try #require(PacketRest(capabilities))
    #expect(keeping.serves(9, readsAhead: false) && !keeping.serves(10, readsAhead: false))
    var attempts: [(Int, Attempt)] = []
    func receive(_ room: Int, _ attempt: Attempt) -> (Attempt, [UInt8]) {
      var result = Attempt.wouldBlock
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: room) { memory, filled in
        result = unsafe rest.receive(into: UnsafeMutableRawBufferPointer(memory)) { whole in
          attempts.append((whole.count, attempt))
          for index in 0..<whole.count { unsafe whole[index] = UInt8(index) }
          return attempt
        }
        if case .transferred(let count) = result { filled = count }
      }
      return (result, bytes)
    }
    #expect(receive(4, .wouldBlock).0 == .wouldBlock && attempts.count == 1 && attempts[0].0 == 10)
    #expect(receive(4, .transferred(7)).1 == [0, 1, 2, 3])
    // Something is left, so any receive comes here, and makes no attempt.
    #expect(rest.serves(10_000, readsAhead: false))
    #expect(receive(2, .endOfStream).1 == [4, 5] && attempts.count == 2)
    #expect(receive(5, .endOfStream).1 == [6] && attempts.count == 2)
    #expect(!rest.serves(10_000, readsAhead: false))
    #expect(receive(5, .endOfStream).0 == .endOfStream && attempts.count == 3)
    #expect(receive(1, .transferred(3)).1 == [0])
    #expect(rest.take() == [1, 2] && rest.take().isEmpty && !rest.serves(10_000, readsAhead: false))
  }

  @Test func `a UDP socket that joins datagrams is refused`() throws {
    let number = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(number) }
    var on: Int32 = 1
    let size = socklen_t(MemoryLayout<Int32>.size)
    // UDP_GRO, Linux 5.0.
    if unsafe setsockopt(number, Int32(IPPROTO_UDP), 104, &on, size) < 0 { return }
    #expect(throws: TransportError(.adopt, .invalidArgument)) {
      try DatagramSocket(number, isPacket: false)
    }
    on = 0
    #expect(unsafe setsockopt(number, Int32(IPPROTO_UDP), 104, &on, size) == 0)
    #expect(throws: Never.self) { try DatagramSocket(number, isPacket: false) }
  }

  /// They stay when the socket is detached, so a socket has only those that the library needs.
  @Test func `a socket gets no option that its kind does not need`() throws {
    for (kind, hasTime, isInline) in [
      (SocketPairKind.unix, false, true), (.tcp, false, false), (.unixDatagrams, false, false),
      (.unixPackets, true, false),
    ] {
      let (left, _) = try Self.pair(kind)
      let number = left.transport.number
      #expect((swsys_time_option(number) > 0) == hasTime, "\(kind)")
      var inline: Int32 = 0
      var size = socklen_t(MemoryLayout<Int32>.size)
      #expect(unsafe getsockopt(number, SOL_SOCKET, SO_OOBINLINE, &inline, &size) == 0)
      #expect((inline != 0) == isInline, "\(kind)")
    }
    let number = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    let transport = try makeTransport(over: number, for: .readable)
    #expect(swsys_time_option(number) == 0)
    transport.close()
  }

  @Test func `who is to be told of a close is told behind it`() throws {
    // No peer decides how long these take, so they are closed by this thread.
    let stream = try DescriptorPair.sockets(.tcp)
    let pipe = try DescriptorPair.pipe()
    let numbers = [
      socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0), stream.first.release().rawValue,
      pipe.first.release().rawValue,
    ]
    for number in numbers {
      let transport = try makeTransport(over: number, for: .readable)
      let file = OpenFile(FileDescriptor(rawValue: number))
      #expect(file.isOpen)
      let wasOpen = Guarded<Bool?>(nil)
      transport.close { wasOpen.withLock { $0 = file.isOpen } }
      #expect(wasOpen.withLock { $0 } == false)
    }
  }

  @Test func `a batch counts the bytes of its datagrams`() throws {
    let (left, right) = try Self.pair(.unixDatagrams)
    let bytes: [UInt8] = [1, 2, 3, 4, 5]
    let attempt = unsafe bytes.withUnsafeBytes { whole in
      let parts = unsafe [
        UnsafeRawBufferPointer(rebasing: whole[..<3]), UnsafeRawBufferPointer(start: nil, count: 0),
        UnsafeRawBufferPointer(rebasing: whole[3...]),
      ]
      return unsafe parts.withUnsafeBufferPointer { unsafe right.transport.sendDatagrams($0) }
    }
    #expect(attempt == .transferred(5))
    for expected in [[1, 2, 3], [], [4, 5]] as [[UInt8]] { #expect(left.receive().bytes == expected) }
  }

  @Test func `of more parts than the kernel takes at once the first ones are sent`() throws {
    let bytes = [UInt8](repeating: 7, count: 1_025)
    func sendSingly(over transport: any DescriptorTransport) -> Attempt {
      unsafe bytes.withUnsafeBytes { whole in
        let parts = unsafe whole.indices.map { unsafe UnsafeRawBufferPointer(rebasing: whole[$0...$0]) }
        return unsafe parts.withUnsafeBufferPointer { unsafe transport.send(gathering: $0) }
      }
    }
    let (left, right) = try Self.pair(.unix)
    #expect(sendSingly(over: right.transport) == .transferred(1_024))
    #expect(left.receive(2_000).bytes.count == 1_024)
    let (reading, writing) = try Self.pipe()
    #expect(sendSingly(over: writing.transport) == .transferred(1_024))
    #expect(reading.receive(2_000).bytes.count == 1_024)
  }

  /// After a splice the kernel would refuse RWF_NOWAIT on the pipe for ever, and each attempt would take six calls.
  @Test func `an attempt that finds no bytes, or no room, splices nothing`() throws {
    guard KernelFeatures.current.nowaitPipes else { return }
    let (reading, writing) = try Self.pipe()
    #expect(reading.receive().attempt == .wouldBlock)
    var byte: UInt8 = 0
    #expect(unsafe swsys_read_nowait(reading.transport.number, &byte, 1) == -Int(EAGAIN))
    while case .transferred = writing.send([UInt8](repeating: 7, count: 4_096)) {}
    #expect(writing.send([1]) == .wouldBlock)
    let isRefused = unsafe withUnsafeMutablePointer(to: &byte) { byte in
      var part = unsafe iovec(iov_base: byte, iov_len: 1)
      return unsafe swsys_write_nowait(writing.transport.number, &part, 1, false, true) != -Int(EAGAIN)
    }
    #expect(!isRefused)
  }

  @Test(arguments: [KernelBranch.native, .polled])
  func `an attempt on a terminal may hang, and where it may wait it writes little`(_ branch: KernelBranch)
    throws
  {
    let terminal = try PseudoTerminal(isRaw: true)
    let master = terminal.master.release()
    defer { try? master.close() }
    let line = try Held(terminal.line, for: [.readable, .writable], branch.features)
    #expect(line.transport.capabilities.attemptsMayHang)
    if branch == .polled {
      #expect(line.gather([UInt8](repeating: 65, count: 300), takingLong: true) == .transferred(256))
    }
  }
}
