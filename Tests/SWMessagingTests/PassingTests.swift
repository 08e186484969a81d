import CSysShim
import Foundation
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import Testing

/// Descriptors and addresses beside the bytes.
@Suite struct PassingTests {
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
    let (bytes, ancillary) = try await right.receiveAccompanied()
    #expect(bytes == [1, 2])
    #expect(ancillary?.descriptors?.count == 2)
    try await firstWriter.send("first")
    try await secondWriter.send("second")
    #expect(try await text(from: ancillary?.descriptors?.take()) == "first")
    #expect(try await text(from: ancillary?.descriptors?.take()) == "second")
    #expect(try await text(from: ancillary?.descriptors?.take()) == "nothing came")
    #expect(OpenFile(numbers[0]).isOpen, "the sender's own stays")
    withExtendedLifetime((first, second)) {}
  }

  @Test func `a task that waits is handed the descriptors, and so is a thread`() async throws {
    let (left, right) = try makeSocketPair()
    right.maximumDescriptors = 1
    for isTask in [true, false] {
      let (descriptor, writer) = try makePassed()
      let task = isTask ? Task { try await right.receiveAccompanied() } : nil
      let thread = isTask ? nil : TestThread { try right.blocking.receiveAccompanied() }
      await eventually { right.queued == 1 }
      try left.sendBlocking([7], passing: [try descriptor.withDescriptor { $0 }])
      let received = if let task { try await task.value } else { try await thread?.value }
      #expect(received?.bytes == [7])
      try await writer.send("here")
      #expect(try await text(from: received?.ancillary?.descriptors?.take()) == "here")
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
    let (bytes, ancillary) = try await right.receiveAccompanied()
    // The kernel glues what came before; what comes after it keeps apart.
    #expect(bytes == Array("aaabbb".utf8))
    #expect(ancillary?.descriptors?.count == 1)
    let (rest, none) = try await right.receiveAccompanied()
    #expect(rest == Array("ccc".utf8))
    #expect(none == nil)
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
    #expect(try await right.receiveAccompanied().bytes == [2])
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

  @Test func `a pipe passes no descriptors, and says so`() async throws {
    let (reader, writer) = try makePipe()
    let (descriptor, _) = try makePassed()
    let error = await endpointError {
      try await writer.send([1], passing: [try descriptor.withDescriptor { $0 }])
    }
    #expect(error?.reason == .transport(TransportError(.send, .notSupported)))
    withExtendedLifetime((reader, descriptor)) {}
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
    let (bytes, ancillary) = try await ends[1].receiveAccompanied()
    #expect(bytes == [1, 2, 3])
    let sender = try #require(ancillary?.sender)
    #expect(sender.unixPath == paths[0])
    try await ends[1].send([4], to: sender)
    #expect(try await ends[0].receive() == [4])
    // Nobody there: this datagram's error alone.
    let nobody = try #require(SocketAddress(unixPath: paths[0] + "x"))
    let error = await endpointError { try await ends[1].send([5], to: nobody) }
    #expect(error?.reason == .transport(TransportError(.send, .noSuchFileOrDirectory)))
    try await ends[1].send([6], to: sender)
    #expect(try await ends[0].receive() == [6])
  }
}

extension SocketDuplex {
  fileprivate func sendBlocking(_ bytes: [UInt8], passing descriptors: [FileDescriptor]) throws {
    try blocking.send(bytes, passing: descriptors)
  }
}
