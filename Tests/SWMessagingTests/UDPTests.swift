import CSysShim
import Foundation
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// A socket for UDP over the loopback.
struct UDPSocket: ~Copyable {
  enum Version: CaseIterable, Sendable {
    case v4, v6

    /// The largest datagram: what a length of 16 bits leaves behind the headers.
    var largest: Int { self == .v4 ? 65_507 : 65_527 }
  }

  let descriptor: OwnedDescriptor
  let address: SocketAddress

  /// - Parameter port: 0: any that is free.
  init(_ version: Version, port: UInt16 = 0) throws {
    let number = socket(
      version == .v4 ? AF_INET : AF_INET6, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    descriptor = OwnedDescriptor(adopting: FileDescriptor(rawValue: number))
    address = try Self.bound(number, to: Self.loopback(version, port: port))
  }

  private static func bound(_ number: Int32, to wanted: SocketAddress) throws -> SocketAddress {
    let isBound = unsafe wanted.withSockaddr { unsafe bind(number, $0, $1) } == 0
    try #require(isBound)
    var bytes = [UInt8](repeating: 0, count: 128)
    var count: UInt32 = 128
    let isNamed = unsafe bytes.withUnsafeMutableBytes { room in
      unsafe room.withMemoryRebound(to: sockaddr.self) { unsafe getsockname(number, $0.baseAddress, &count) }
    }
    try #require(isNamed == 0)
    return SocketAddress(bytes: Array(bytes.prefix(Int(count))))
  }

  func connect(to peer: SocketAddress) throws {
    let number = descriptor.withDescriptor { $0.rawValue }
    let isConnected = unsafe peer.withSockaddr { unsafe Glibc.connect(number, $0, $1) } == 0
    try #require(isConnected)
  }

  consuming func endpoint() throws -> SocketDuplex { try SocketDuplex(adopting: descriptor) }

  /// Two that are connected to each other.
  static func pair(_ version: Version) throws -> (SocketDuplex, SocketDuplex) {
    let left = try UDPSocket(version)
    let right = try UDPSocket(version)
    try left.connect(to: right.address)
    try right.connect(to: left.address)
    return (try left.endpoint(), try right.endpoint())
  }

  private static func loopback(_ version: Version, port: UInt16) -> SocketAddress {
    let family = UInt16(version == .v4 ? AF_INET : AF_INET6)
    let start =
      unsafe withUnsafeBytes(of: family) { unsafe Array($0) } + [UInt8(port >> 8), UInt8(port & 0xff)]
    return SocketAddress(
      bytes: version == .v4
        ? start + [127, 0, 0, 1] + [UInt8](repeating: 0, count: 8)
        : start + [UInt8](repeating: 0, count: 19) + [1, 0, 0, 0, 0])
  }
}

extension SocketAddress {
  fileprivate func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>?, UInt32) -> Result) -> Result {
    unsafe bytes.withUnsafeBytes { bytes in
      unsafe bytes.withMemoryRebound(to: sockaddr.self) { unsafe body($0.baseAddress, UInt32(bytes.count)) }
    }
  }
}

/// Datagrams over IP.
@Suite(.lastResort, .leavesNothing) struct UDPTests {
  @Test(arguments: UDPSocket.Version.allCases)
  func `line 12: a datagram of any size is received whole, by everybody`(_ version: UDPSocket.Version)
    async throws
  {
    let (left, right) = try UDPSocket.pair(version)
    for size in [1, 0, 5, 0, 1_472, 9_000, version.largest, 0, 3] {
      let sent = pattern(size, seed: size)
      #expect(try await left.send(sent) == size)
      #expect(try await right.receive(timeout: .patience) == sent)
    }
    let thread = TestThread { try right.blocking.receive(timeout: .patience) }
    await eventually { right.queued == 1 }
    try await left.send(pattern(version.largest))
    #expect(try await thread.value == pattern(version.largest))
    let task = Task { try await right.receive(timeout: .patience) }
    await eventually { right.queued == 1 }
    try await left.send("")
    #expect(try await task.value == [])
  }

  @Test(arguments: UDPSocket.Version.allCases)
  func `a datagram that is too large fails alone`(_ version: UDPSocket.Version) async throws {
    let (left, right) = try UDPSocket.pair(version)
    let error = await endpointError { try await left.send(pattern(version.largest + 1)) }
    #expect(error?.reason == .transport(TransportError(.send, .messageTooLong)))
    try await left.send("small")
    #expect(try await right.receive(timeout: .patience) == Array("small".utf8))
  }

  @Test(arguments: UDPSocket.Version.allCases)
  func `each datagram says who sent it, and an answer goes there`(_ version: UDPSocket.Version) async throws {
    let server = try UDPSocket(version)
    let target = server.address
    let listening = try server.endpoint()
    let first = try UDPSocket(version)
    let second = try UDPSocket(version)
    let addresses = [first.address, second.address]
    let clients = [try first.endpoint(), try second.endpoint()]
    for round in 0..<4 as Range<UInt8> {
      for (index, client) in clients.enumerated() {
        try await client.send([round, UInt8(index)], to: target)
      }
    }
    for round in 0..<4 as Range<UInt8> {
      for index in 0..<2 {
        let received = try await listening.receiveBytes(timeout: .patience)
        #expect(received.bytes == [round, UInt8(index)])
        let sender = try #require(received.sender)
        #expect(sender == addresses[index])
        #expect(received.descriptors == nil)
        try await listening.send([round], to: sender)
        #expect(try await clients[index].receive(timeout: .patience) == [round])
      }
    }
  }

  /// Without a connection there is no receiver: this datagram alone fails.
  @Test func `a send without an address needs a connection`() async throws {
    let socket = try UDPSocket(.v4)
    let own = socket.address
    let endpoint = try socket.endpoint()
    let error = await endpointError { try await endpoint.send("whereto?") }
    #expect(error?.reason == .transport(TransportError(.send, .addressRequired)))
    try await endpoint.send(Array("to myself".utf8), to: own)
    #expect(try await endpoint.receive(timeout: .patience) == Array("to myself".utf8))
  }

  @Test(arguments: UDPSocket.Version.allCases)
  func `a refusal is about one datagram, and the endpoint goes on`(_ version: UDPSocket.Version) async throws
  {
    let gone = try UDPSocket(version)
    let target = gone.address
    let client = try UDPSocket(version)
    try client.connect(to: target)
    let own = client.address
    let left = MessageDuplex(over: try client.endpoint(), framing: .datagram)
    // A datagram that is there already is not lost with it.
    try gone.connect(to: own)
    let early = try gone.endpoint()
    for number in 0..<3 as Range<UInt8> { try await early.send([number]) }
    early.close()
    let refused = EndpointError.Reason.transport(TransportError(.receive, .connectionRefused))

    try await left.send("anybody?")
    #expect(await endpointError { try await left.receive(timeout: .patience) }?.reason == refused)
    for number in 0..<3 as Range<UInt8> { #expect(try await left.receive(timeout: .zero) == [number]) }
    // Told to who waits, of whichever kind.
    let task = Task { try await left.receive(timeout: .patience) }
    await eventually { left.queued == 1 }
    try await left.send("anybody?")
    #expect(await endpointError { try await task.value }?.reason == refused)
    let thread = TestThread { try left.blocking.receive(timeout: .patience) }
    await eventually { left.queued == 1 }
    try await left.send("anybody?")
    #expect(await endpointError { try await thread.value }?.reason == refused)
    // The sender gets the error if no call receives.
    try await left.send("anybody?")
    let error = await endpointError { try await left.send("anybody?") }
    #expect(error?.reason == .transport(TransportError(.send, .connectionRefused)))

    let back = try UDPSocket(version, port: try #require(target.port))
    try back.connect(to: own)
    let right = try back.endpoint()
    try await left.send("and now?")
    #expect(try await right.receive(timeout: .patience) == Array("and now?".utf8))
    try await right.send("yes")
    #expect(try await left.receive(timeout: .patience) == Array("yes".utf8))
  }

  @Test(arguments: UDPSocket.Version.allCases, [true, false])
  func `batches of datagrams arrive whole and in order, empty ones too`(
    _ version: UDPSocket.Version, _ isTask: Bool
  ) async throws {
    let (first, second) = try UDPSocket.pair(version)
    let left = MessageDuplex(over: first, framing: .datagram)
    let right = MessageDuplex(over: second, framing: .datagram)
    for round in 0..<20 {
      // Few enough to find room: what finds none is dropped.
      let messages = (0..<40).map { pattern($0 % 7 == 0 ? 0 : $0 == 20 ? 60_000 : $0 * 9, seed: $0 + round) }
      try await left.send(contentsOf: messages)
      let received =
        isTask
        ? try await Task { try await Self.receive(40, from: right) }.value
        : try await TestThread {
          try (0..<40).map { _ in try right.blocking.receive(timeout: .patience) }
        }.value
      #expect(received == messages)
    }
    #expect(await endpointError { try await right.receive(timeout: .zero) }?.reason == .timedOut)
  }

  private static func receive(
    _ count: Int, from endpoint: MessageDuplex<DatagramFraming>
  ) async throws -> [[UInt8]] {
    var received: [[UInt8]] = []
    while received.count < count { received.append(try await endpoint.receive(timeout: .patience)) }
    return received
  }

  @Test(arguments: UDPSocket.Version.allCases)
  func `fault 14: a frame fills its datagram exactly, and one that does not is consumed`(
    _ version: UDPSocket.Version
  ) async throws {
    let (raw, other) = try UDPSocket.pair(version)
    let messages = MessageDuplex(over: other, framing: .varInt)
    try await messages.send("out")
    #expect(try await raw.receive(timeout: .patience) == [3] + Array("out".utf8))
    let wrong: [[UInt8]] = [[5, 0x68, 0x65], [1, 0x68, 0x65], []]
    for datagram in wrong {
      try await raw.send(datagram)
      try await raw.send([2, 0x68, 0x69])
    }
    for datagram in wrong {
      let error = await endpointError { try await messages.receive(timeout: .patience) }
      #expect(error?.partialBytes == datagram)
      guard case .codec(let misfit as FramingError) = error?.reason else {
        Issue.record("\(String(describing: error))")
        continue
      }
      #expect(misfit.kind == .misfit)
      #expect(try await messages.receive(timeout: .patience) == Array("hi".utf8))
    }
  }

  // MARK: Reading ahead

  /// Whether the kernel has another datagram.
  private func isWaiting(_ endpoint: some Endpoint) throws -> Bool {
    try endpoint.withDescriptor { swsys_next_datagram_size($0.rawValue, false) >= 0 }
  }

  @Test func `who may read ahead takes what waits, and nobody else takes more than is asked for`()
    async throws
  {
    let (left, raw) = try UDPSocket.pair(.v4)
    let ahead = MessageDuplex(over: raw, framing: .datagram)
    let exact = MessageDuplex(core: raw.core, framing: .datagram, mode: .exact)
    for number in 0..<3 as Range<UInt8> { try await left.send([number]) }
    #expect(try await exact.receive(timeout: .patience) == [0])
    #expect(try isWaiting(raw))
    #expect(try await raw.receive(timeout: .patience) == [1])
    #expect(try isWaiting(raw))
    #expect(try await raw.receiveBytes(timeout: .patience).bytes == [2])
    #expect(try !isWaiting(raw))

    for number in 0..<17 as Range<UInt8> { try await left.send([number]) }
    #expect(try await ahead.receive(timeout: .patience) == [0])
    // One system call took sixteen; what is held comes first, to whomever.
    #expect(try isWaiting(raw))
    for number in 1..<16 as Range<UInt8> { #expect(try await exact.receive(timeout: .zero) == [number]) }
    #expect(try isWaiting(raw))
    #expect(try await ahead.receive(timeout: .patience) == [16])
    #expect(try !isWaiting(raw))
  }

  @Test func `line 2: what was taken ahead is for whoever comes next, with its sender`() async throws {
    let server = try UDPSocket(.v4)
    let target = server.address
    let raw = try server.endpoint()
    let messages = MessageDuplex(over: raw, framing: .datagram)
    let first = try UDPSocket(.v4)
    let second = try UDPSocket(.v4)
    let addresses = [first.address, second.address]
    let clients = [try first.endpoint(), try second.endpoint()]
    for number in 0..<8 as Range<UInt8> { try await clients[Int(number % 2)].send([number], to: target) }
    #expect(try await messages.receive(timeout: .patience) == [0])
    #expect(try !isWaiting(raw))
    let cancelled = Task {
      unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
      return try await messages.receive()
    }
    #expect(await endpointError { try await cancelled.value }?.reason == .cancelled)
    let received = try await raw.receiveBytes(timeout: .zero)
    #expect(received.bytes == [1])
    #expect(received.sender == addresses[1])
    #expect(try await messages.receive(timeout: .zero) == [2])
    let thread = TestThread { try raw.blocking.receiveBytes(timeout: .zero) }
    let next = try await thread.value
    #expect(next.bytes == [3])
    #expect(next.sender == addresses[1])
    #expect(try await raw.receive(timeout: .zero) == [4])
    #expect(try await messages.receive(timeout: .zero) == [5])
    for number in 6..<8 as Range<UInt8> {
      #expect(
        try await raw.receiveBytes(timeout: .zero).sender == addresses[Int(number % 2)])
    }
    #expect(await endpointError { try await messages.receive(timeout: .zero) }?.reason == .timedOut)
  }

  @Test func `what was taken ahead, and may be empty, has to be received before it is detached`() async throws
  {
    let (left, right) = try UDPSocket.pair(.v4)
    let messages = MessageDuplex(over: right, framing: .datagram)
    let sent: [[UInt8]] = [[1], [2, 3], []]
    for datagram in sent + [[4]] { try await left.send(datagram) }
    #expect(try await messages.receive(timeout: .patience) == [1])
    for datagram in sent[1...] {
      #expect(await endpointError { try messages.detach().unread }?.reason == .unreadDatagrams)
      #expect(try await messages.receive(timeout: .zero) == datagram)
    }
    #expect(await endpointError { try right.detach().unread }?.reason == .unreadDatagrams)
    #expect(try await right.receive(timeout: .zero) == [4])
    try await left.send("for the next")
    let detached = try messages.detach()
    #expect(detached.unread.isEmpty)
    let again = try SocketDuplex(adopting: detached.release().descriptor)
    #expect(try await again.receive(timeout: .patience) == Array("for the next".utf8))
    #expect(await endpointError { try await again.receive(timeout: .zero) }?.reason == .timedOut)
  }

  @Test func `line 14: threads and tasks that give up share what was taken ahead, and nothing is lost`()
    async throws
  {
    let (left, right) = try UDPSocket.pair(.v4)
    let messages = MessageDuplex(over: right, framing: .datagram)
    let rounds = stressed(100)
    let count = rounds * 40
    let seen = Seen()
    let deadline = Deadline.after(.patience)
    let receivers = (0..<3).map { index in
      Task {
        while seen.count < count, !deadline.hasPassed {
          let call = Task { seen.add(try await messages.receive(timeout: .microseconds(index * 150))) }
          if index == 2 { call.cancel() }
          _ = try? await call.value
        }
      }
    }
    let thread = TestThread {
      while seen.count < count, !deadline.hasPassed {
        if let message = try? messages.blocking.receive(timeout: .microseconds(200)) { seen.add(message) }
      }
    }
    for round in 0..<rounds {
      for index in 0..<40 { try await left.send(Self.numbered(round * 40 + index)) }
      await eventually { seen.count == (round + 1) * 40 }
    }
    for receiver in receivers { await receiver.value }
    try await thread.value
    #expect(seen.numbers == Array(0..<count))
  }

  fileprivate static func numbered(_ number: Int) -> [UInt8] {
    unsafe withUnsafeBytes(of: UInt32(number)) { unsafe Array($0) } + pattern(number % 300)
  }

  /// The numbers of the messages that have come.
  private final class Seen: Sendable {
    private let all = Guarded<[Int]>([])
    var count: Int { all.withLock { $0.count } }
    var numbers: [Int] { all.withLock { $0.sorted() } }
    func add(_ message: [UInt8]) {
      let number = (0..<4).reduce(0) { $0 | Int(message[$1]) << (8 * $1) }
      #expect(message == UDPTests.numbered(number))
      all.withLock { $0.append(number) }
    }
  }
}
