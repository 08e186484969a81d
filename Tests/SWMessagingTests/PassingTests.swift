import CSysShim
import Foundation
import SWIO
import SWJSON
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Descriptors and addresses beside the bytes.
@Suite(.lastResort, .leavesNothing) struct PassingTests {
  /// The receiving end of a pipe to pass, and a writer that shows which one came.
  private func makePassed() throws -> (SocketReader, SocketWriter) { try makePipe() }

  private func text(from descriptor: consuming OwnedDescriptor?) async throws -> String {
    guard let descriptor else { return "nothing came" }
    let reader = try SocketReader(adopting: descriptor)
    #expect(!reader.isInheritable)
    return String(decoding: try await reader.receive(), as: UTF8.self)
  }

  /// Whether the last read end of a pipe comes to be closed, on whichever thread.
  private func isBroken(_ writer: SocketWriter) async -> Bool {
    await eventually { (try? writer.withDescriptor { $0.isReady(for: .failed) }) ?? true }
    let error = await endpointError { try await writer.send("anybody?") }
    return error?.reason == .transport(TransportError(.send, .brokenPipe))
  }

  @Test(arguments: [SocketPairKind.unix, .unixDatagrams, .unixPackets])
  func `descriptors arrive with their bytes, close-on-exec`(_ kind: SocketPairKind) async throws {
    let (left, right) = try makeSocketPair(kind)
    right.maximumDescriptors = 2
    let (first, firstWriter) = try makePassed()
    let (second, secondWriter) = try makePassed()
    let numbers = [try first.withDescriptor { $0 }, try second.withDescriptor { $0 }]
    try await left.send([1, 2], passing: numbers)
    let received = try await right.receiveBytes()
    #expect(received.bytes == [1, 2])
    #expect(received.descriptors?.count == 2)
    try await firstWriter.send("first")
    try await secondWriter.send("second")
    #expect(try await text(from: received.descriptors?.take()) == "first")
    #expect(try await text(from: received.descriptors?.take()) == "second")
    #expect(try await text(from: received.descriptors?.take()) == "nothing came")
    #expect(OpenFile(numbers[0]).isOpen, "the sender's own stays")
    withExtendedLifetime((first, second)) {}
  }

  @Test(arguments: [ReceiveMode.readAhead, .exact])
  func `an endpoint that holds descriptors of unread bytes cannot be detached`(_ mode: ReceiveMode)
    async throws
  {
    let pair = try DescriptorPair.sockets(.unix)
    let left = try MessageWriter(adopting: pair.first, framing: .varInt)
    let right = try MessageReader(adopting: pair.second, framing: .varInt, mode: mode)
    right.maximumDescriptors = 2
    let (passed, writer) = try makePassed()
    try await left.send("one")
    try await left.send("two", passing: [try passed.withDescriptor { $0 }])
    try await left.send("three")
    passed.close()
    #expect(try await right.receive() == Array("one".utf8))
    if mode == .readAhead {
      for _ in 0..<2 {
        let error = await endpointError { try right.detach().unread }
        #expect(error?.reason == .unreadDescriptors)
        #expect(error.map { "\($0)" }?.contains("descriptors") ?? false)
      }
    }
    // The endpoint is as before.
    let message = try await right.receiveMessage()
    #expect(message.message == Array("two".utf8))
    try await writer.send("hello")
    #expect(try await text(from: message.descriptors?.take()) == "hello")
    let detached = try right.detach().release()
    let rest = try MessageReader(
      adopting: detached.descriptor, unread: detached.unread, framing: .varInt, mode: mode)
    #expect(try await rest.receive() == Array("three".utf8))
  }

  @Test func `descriptors that no endpoint asks for do not keep one from being detached`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let (passed, writer) = try makePassed()
    try await left.send("one")
    try await left.send("two", passing: [try passed.withDescriptor { $0 }])
    passed.close()
    #expect(try await right.receive() == Array("one".utf8))
    let detached = try right.detach().release()
    let rest = try MessageReader(adopting: detached.descriptor, unread: detached.unread, framing: .varInt)
    #expect(try await rest.receive() == Array("two".utf8))
    #expect(await isBroken(writer))
  }

  @Test func `a task that waits is handed the descriptors, and so is a thread`() async throws {
    let (left, right) = try makeSocketPair()
    right.maximumDescriptors = 1
    for isTask in [true, false] {
      let (descriptor, writer) = try makePassed()
      let task = isTask ? Task { try await right.receiveBytes() } : nil
      let thread = isTask ? nil : TestThread { try right.blocking.receiveBytes() }
      await eventually { right.queued == 1 }
      try left.sendBlocking([7], passing: [try descriptor.withDescriptor { $0 }])
      let received = if let task { try await task.value } else { try await thread?.value }
      #expect(received?.bytes == [7])
      try await writer.send("here")
      #expect(try await text(from: received?.descriptors?.take()) == "here")
      withExtendedLifetime(descriptor) {}
    }
  }

  @Test func `bytes behind a descriptor are a receive of their own`() async throws {
    let (left, right) = try makeSocketPair()
    right.maximumDescriptors = 1
    let (descriptor, _) = try makePassed()
    try await left.send("aaa")
    try await left.send(Array("bbb".utf8), passing: [try descriptor.withDescriptor { $0 }])
    try await left.send("ccc")
    let received = try await right.receiveBytes()
    // The kernel glues what came before; what comes after it keeps apart.
    #expect(received.bytes == Array("aaabbb".utf8))
    #expect(received.descriptors?.count == 1)
    let rest = try await right.receiveBytes()
    #expect(rest.bytes == Array("ccc".utf8))
    #expect(rest.descriptors == nil && !rest.lostDescriptors && rest.sender == nil)
    withExtendedLifetime(descriptor) {}
  }

  @Test func `descriptors that nobody takes are closed`() async throws {
    let (left, right) = try makeSocketPair(.unixDatagrams)
    right.maximumDescriptors = 1
    let (descriptor, writer) = try makePassed()
    let number = try descriptor.withDescriptor { $0 }
    try await left.send([1], passing: [number])
    try await left.send([2], passing: [number])
    #expect(try await right.receive() == [1])
    #expect(try await right.receiveBytes().bytes == [2])
    descriptor.close()
    #expect(await isBroken(writer))
  }

  @Test func `a receiver that does not ask for descriptors has its bytes all the same`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let raw = SocketDuplex(core: left.core)
    let (descriptor, writer) = try makePassed()
    try await raw.send([2, 0x68, 0x69], passing: [try descriptor.withDescriptor { $0 }])
    #expect(try await right.receive() == Array("hi".utf8))
    descriptor.close()
    #expect(await isBroken(writer))
  }

  // MARK: With messages

  @Test(arguments: [SocketPairKind.unix, .unixDatagrams, .unixPackets])
  func `descriptors arrive with their message, whoever is first`(_ kind: SocketPairKind) async throws {
    let (left, right) = try makeSocketPair(kind, framing: .varInt)
    right.maximumDescriptors = 2
    let (first, firstWriter) = try makePassed()
    let (second, secondWriter) = try makePassed()
    let numbers = [try first.withDescriptor { $0 }, try second.withDescriptor { $0 }]
    try await left.send("none")
    try await left.send(Array("one".utf8), passing: [numbers[0]])
    try await left.send("none again")
    try await TestThread { try left.blocking.send(Array("two".utf8), passing: [numbers[1]]) }.value
    var texts: [String] = []
    for _ in 0..<3 {
      let received = try await right.receiveMessage(timeout: .patience)
      texts.append(String(decoding: received.message, as: UTF8.self))
      #expect((received.descriptors?.count ?? 0) == (texts.last == "one" ? 1 : 0))
      guard let descriptor = received.descriptors?.take() else { continue }
      try await firstWriter.send("first")
      #expect(try await text(from: descriptor) == "first")
    }
    #expect(texts == ["none", "one", "none again"])
    let last = try await TestThread { try right.blocking.receiveMessage() }.value
    #expect(last.message == Array("two".utf8))
    try await secondWriter.send("second")
    #expect(try await text(from: last.descriptors?.take()) == "second")
    #expect(!last.lostDescriptors)
    withExtendedLifetime((first, second)) {}
  }

  @Test func `messages of any framing pass descriptors`() async throws {
    let framing = LineFraming.lines.json([Int].self)
    let (left, right) = try makeSocketPair(framing: framing)
    right.maximumDescriptors = 1
    let (descriptor, writer) = try makePassed()
    let waiting = Task { try await right.receiveMessage() }
    await eventually { right.queued == 1 }
    try await left.send([1, 2], passing: [try descriptor.withDescriptor { $0 }])
    let received = try await waiting.value
    #expect(received.message == [1, 2])
    try await writer.send("here")
    #expect(try await text(from: received.descriptors?.take()) == "here")
    withExtendedLifetime(descriptor) {}
  }

  @Test func `descriptors beyond the limit are lost, and their message is not`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    right.maximumDescriptors = 1
    let (descriptor, writer) = try makePassed()
    let number = try descriptor.withDescriptor { $0 }
    try await left.send([1], passing: [number, number])
    let received = try await right.receiveMessage()
    #expect(received.message == [1])
    #expect(received.lostDescriptors)
    while received.descriptors?.take() != nil {}
    descriptor.close()
    #expect(await isBroken(writer))
  }

  @Test func `the descriptors of a message that is not understood are closed`() async throws {
    let (left, right) = try makeSocketPair()
    let messages = MessageDuplex(over: right, framing: .lines.json([Int].self))
    messages.maximumDescriptors = 1
    #expect(right.maximumDescriptors == 1, "it is the descriptor's")
    let (descriptor, writer) = try makePassed()
    try await left.send(Array("no JSON\n".utf8), passing: [try descriptor.withDescriptor { $0 }])
    try await left.send("[7]\n")
    guard case .codec = await endpointError(of: { try await messages.receiveMessage() })?.reason else {
      Issue.record("it is no JSON")
      return
    }
    descriptor.close()
    #expect(await isBroken(writer))
    #expect(try await messages.receiveMessage().message == [7])
  }

  @Test func `descriptors are taken once, one by one or together`() throws {
    let numbers = [swsys_eventfd(), swsys_eventfd(), swsys_eventfd()]
    var taken: [FileDescriptor] = []
    do {
      let received = ReceivedDescriptors(numbers.map { FileDescriptor(rawValue: $0) })
      if let first = received.take() { taken.append(first.release()) }
      taken += received.takeAll()
      #expect(received.takeAll().isEmpty && received.take() == nil)
    }
    // They are the taker's, and open.
    #expect(taken.map(\.rawValue) == numbers)
    for descriptor in taken { try descriptor.close() }
  }

  @Test func `a message says which process sent it, if it is asked`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    try await left.send("before")
    let before = try await right.receiveMessage()
    #expect(before.credentials == nil)
    try right.setReceivesCredentials(true)
    try await left.send("after")
    let after = try await right.receiveMessage()
    #expect(after.message == Array("after".utf8))
    #expect(after.credentials == SenderCredentials(processID: getpid(), userID: getuid(), groupID: getgid()))
    let (reader, writer) = try makePipe(framing: .varInt)
    #expect(
      blockingError { try reader.setReceivesCredentials(true) }?.reason
        == .transport(TransportError(.receive, .notSupported)))
    reader.close()
    #expect(blockingError { try reader.setReceivesCredentials(true) }?.reason == .closed)
    withExtendedLifetime(writer) {}
  }

  @Test func `a message that comes in pieces says who sent it`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    try right.setReceivesCredentials(true)
    _ = try left.withDescriptor { try $0.writeAll([3, 1, 2]) }
    let error = await endpointError { try await right.receiveMessage(timeout: .zero) }
    #expect(error?.reason == .timedOut && error?.byteCount == 3)
    _ = try left.withDescriptor { try $0.writeAll([3]) }
    let whole = try await right.receiveMessage()
    #expect(whole.message == [1, 2, 3] && whole.credentials?.processID == getpid())
  }

  @Test func `a message as a datagram says who sent it, and goes where it is told`() async throws {
    let names = (0..<2).map { "sw-\(UUID())-\($0)" }
    let ends = try names.map { name in
      let address = try #require(SocketAddress(abstractName: name))
      let number = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      let result = unsafe address.bytes.withUnsafeBytes { bytes in
        unsafe bytes.withMemoryRebound(to: sockaddr.self) {
          unsafe bind(number, $0.baseAddress, UInt32(bytes.count))
        }
      }
      #expect(result == 0)
      return try MessageDuplex(adopting: number, framing: .varInt)
    }
    let target = try #require(SocketAddress(abstractName: names[1]))
    try await ends[0].send([1, 2], to: target)
    let received = try await ends[1].receiveMessage(timeout: .patience)
    #expect(received.message == [1, 2])
    let sender = try #require(received.sender)
    #expect(sender.abstractName == Array(names[0].utf8))
    try await TestThread { try ends[1].blocking.send([3], to: sender) }.value
    #expect(try await ends[0].receive(timeout: .patience) == [3])
    let nobody = try #require(SocketAddress(abstractName: names[0] + "x"))
    let error = await endpointError { try await ends[1].send([5], to: nobody) }
    #expect(error?.reason == .transport(TransportError(.send, .connectionRefused)))
    #expect(error?.subject == .address(nobody))
    #expect(
      blockingError { try ends[1].sendBlocking([5], to: nobody) }?.description
        == "cannot send to @\(names[0])x: Connection refused (ECONNREFUSED)")
  }

  @Test func `a descriptor that is none fails its message alone`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let none = FileDescriptor(rawValue: 1_000_000)
    let error = await endpointError { try await left.send([1], passing: [none]) }
    #expect(error?.reason == .transport(TransportError(.send, .badFileDescriptor)))
    try await left.send([2])
    #expect(try await right.receive() == [2])
  }

  @Test func `a pipe passes no descriptors, and says so`() async throws {
    let (reader, writer) = try makePipe()
    let (descriptor, _) = try makePassed()
    let error = await endpointError {
      try await writer.send([1], passing: [try descriptor.withDescriptor { $0 }])
    }
    #expect(error?.reason == .transport(TransportError(.send, .notSupported)))
    withExtendedLifetime((reader, descriptor)) {}
  }

  /// The kernel would send the bytes and drop the descriptors without an error.
  @Test(arguments: [SocketPairKind.tcp, .tcp6])
  func `TCP passes no descriptors, and says so`(_ kind: SocketPairKind) async throws {
    let (left, right) = try makeSocketPair(kind, framing: .varInt)
    let (descriptor, _) = try makePassed()
    let error = await endpointError {
      try await left.send([1], passing: [try descriptor.withDescriptor { $0 }])
    }
    #expect(error?.reason == .transport(TransportError(.send, .notSupported)))
    try await left.send([2])
    #expect(try await right.receive() == [2])
    withExtendedLifetime(descriptor) {}
  }

  @Test func `what comes beside the bytes of TCP is no descriptor that was lost`() async throws {
    let (left, right) = try makeSocketPair(.tcp, framing: .varInt)
    let result = try right.withDescriptor { descriptor in
      var on: Int32 = 1
      return unsafe setsockopt(
        descriptor.rawValue, SOL_SOCKET, SO_TIMESTAMP, &on, UInt32(MemoryLayout<Int32>.size))
    }
    #expect(result == 0)
    right.maximumDescriptors = 4
    for message in [[1], [2, 3]] as [[UInt8]] {
      try await left.send(message)
      let received = try await right.receiveMessage()
      #expect(received.message == message)
      #expect(!received.lostDescriptors && received.descriptors == nil)
    }
  }

  @Test func `a datagram says who sent it, and goes where it is told`() async throws {
    let directory = FileManager.default.temporaryDirectory.appending(
      path: "sw-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let paths = ["a", "b"].map { directory.appending(path: $0).path }
    let ends = try paths.map { path in
      let address = try #require(SocketAddress(unixPath: path))
      #expect(address.unixPath == path)
      let number = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      let result = unsafe address.bytes.withUnsafeBytes { bytes in
        unsafe bytes.withMemoryRebound(to: sockaddr.self) {
          unsafe bind(number, $0.baseAddress, UInt32(bytes.count))
        }
      }
      #expect(result == 0)
      return try SocketDuplex(adopting: number)
    }
    let target = try #require(SocketAddress(unixPath: paths[1]))
    try await ends[0].send([1, 2, 3], to: target)
    let received = try await ends[1].receiveBytes()
    #expect(received.bytes == [1, 2, 3])
    let sender = try #require(received.sender)
    #expect(sender.unixPath == paths[0])
    try await ends[1].send([4], to: sender)
    #expect(try await ends[0].receive() == [4])
    // There is no receiver: this datagram alone fails.
    let nobody = try #require(SocketAddress(unixPath: paths[0] + "x"))
    let error = await endpointError { try await ends[1].send([5], to: nobody) }
    #expect(error?.reason == .transport(TransportError(.send, .noSuchFileOrDirectory)))
    try await ends[1].send([6], to: sender)
    #expect(try await ends[0].receive() == [6])
  }

  @Test func `a packet is kept whole for who wants descriptors, too`() throws {
    let pair = try packetPipe(declared: true)
    let writer = try SocketWriter(adopting: pair.second)
    let reader = try SocketReader(adopting: pair.first)
    reader.maximumDescriptors = 1
    _ = try writer.withDescriptor { try $0.writeAll((0..<100).map { UInt8($0) }) }
    #expect(try reader.blocking.receive(exactly: 10, timeout: .patience) == Array(0..<10))
    #expect(try reader.blocking.receive(exactly: 90, timeout: .patience) == Array(10..<100))
  }

  @Test func `a closed endpoint drops what it has received, and its descriptors`() async throws {
    let pair = try DescriptorPair.sockets()
    let there = try SocketDuplex(adopting: pair.second)
    let here = try MessageDuplex(adopting: pair.first, framing: .lines)
    here.maximumDescriptors = 4
    let pipe = try DescriptorPair.pipe()
    let reader = try SocketReader(adopting: pipe.first)
    do {
      let writing = pipe.second
      let number = writing.withDescriptor { $0 }
      try await there.send(Array("half".utf8), passing: [number], timeout: .patience)
    }
    let error = await endpointError { try await here.receive(timeout: .zero) }
    #expect(error?.reason == .timedOut && error?.byteCount == 4)
    here.close()
    #expect(
      await endpointError { try await reader.receive(upTo: 1, timeout: .patience) }?.reason == .endOfStream)
    withExtendedLifetime(here) {}
  }
}

extension SocketDuplex {
  fileprivate func sendBlocking(_ bytes: [UInt8], passing descriptors: [FileDescriptor]) throws {
    try blocking.send(bytes, passing: descriptors)
  }
}

extension MessageDuplex<VarIntFraming> {
  fileprivate func sendBlocking(_ message: [UInt8], to address: SocketAddress) throws {
    try blocking.send(message, to: address)
  }
}
