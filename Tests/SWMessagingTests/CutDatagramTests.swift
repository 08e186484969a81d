import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Descriptors that came with a datagram which is cut have no owner, and stay open.
@Suite(.lastResort, .leavesNothing) struct CutDatagramTests {
  @Test(arguments: [SocketPairKind.unixDatagrams, .unixPackets])
  func `descriptors of a datagram that is cut are closed`(_ kind: SocketPairKind) async throws {
    let pair = try DescriptorPair.sockets(kind)
    let left = try SocketDuplex(adopting: pair.first)
    let right = try SystemTransport(adopting: pair.second)
    let (reader, writer) = try makePipe()
    try await left.send([UInt8](repeating: 1, count: 100), passing: [try writer.withDescriptor { $0 }])
    writer.close()
    var ancillary: Ancillary?
    var memory = [UInt8](repeating: 0, count: 10)
    let attempt = unsafe memory.withUnsafeMutableBytes {
      unsafe right.receive(into: $0, maximumDescriptors: 1, ancillary: &ancillary)
    }
    #expect(attempt == .failed(TransportError(.receive, .messageTooLong)))
    #expect(ancillary == nil)
    // With the last of the write ends the pipe has ended.
    #expect(
      await endpointError { try await reader.receive(timeout: .milliseconds(500)) }?.reason == .endOfStream)
    right.close()
  }

  /// Workers that share one socket: another one takes the datagram that this one has looked at. The next is longer
  /// than there is room for, and its descriptors are leaked, each time.
  @Test func `descriptors of a datagram that is cut since somebody else took the one before are closed`()
    async throws
  {
    let pair = try DescriptorPair.sockets(.unixDatagrams)
    let left = try SocketDuplex(adopting: pair.first)
    let one = try OwnedDescriptor(duplicating: pair.second.withDescriptor { $0 })
    let another = try SocketDuplex(adopting: pair.second)
    let this = try makeTransport(over: one.withDescriptor { $0.rawValue }, for: [.readable, .writable])
    let (reader, writer) = try makePipe()
    try await left.send([UInt8](repeating: 1, count: 10))
    // As in `receiveDatagrams`: a look, then a receive into room for that.
    #expect(this.nextDatagramSize() == .transferred(10))
    #expect(try await another.receive().count == 10)
    try await left.send([UInt8](repeating: 2, count: 100), passing: [try writer.withDescriptor { $0 }])
    writer.close()
    var ancillary: Ancillary?
    var memory = [UInt8](repeating: 0, count: 10)
    let attempt = unsafe memory.withUnsafeMutableBytes {
      unsafe this.receive(into: $0, maximumDescriptors: 1, ancillary: &ancillary)
    }
    #expect(attempt == .failed(TransportError(.receive, .messageTooLong)))
    #expect(
      await endpointError { try await reader.receive(timeout: .milliseconds(500)) }?.reason == .endOfStream)
    withExtendedLifetime(one) {}
  }

  /// Between the look for a datagram's size and its receive, another worker takes it. The next one is longer.
  @Test(arguments: [SocketPairKind.unixDatagrams, .unixPackets])
  func `workers that share a socket lose no datagram`(_ kind: SocketPairKind) async throws {
    let count = 4_000
    let pair = try DescriptorPair.sockets(kind)
    let writer = try SocketDuplex(adopting: pair.first)
    let other = try OwnedDescriptor(duplicating: pair.second.withDescriptor { $0 })
    let readers = [
      try SocketDuplex(adopting: pair.second), try SocketDuplex(adopting: other.release()),
    ]
    let received = Guarded(0)
    let threads = readers.map { reader in
      TestThread { () -> [Int] in
        var sizes: [Int] = []
        while received.withLock({ $0 }) < count {
          guard let datagram = try? reader.blocking.receive(timeout: .milliseconds(20)) else { continue }
          sizes.append(datagram.count)
          let isWhole = datagram.allSatisfy { $0 == UInt8(truncatingIfNeeded: datagram.count) }
          if isWhole { received.withLock { $0 += 1 } }
        }
        return sizes
      }
    }
    for number in 0..<count {
      let size = number % 2 == 0 ? 10 : 3_000
      try await writer.send([UInt8](repeating: UInt8(truncatingIfNeeded: size), count: size))
    }
    await eventually { received.withLock { $0 } == count }
    // Threads that would wait for lost ones end.
    received.withLock { $0 = count }
    var sizes: [Int] = []
    for thread in threads { sizes += try await thread.value }
    #expect(sizes.count { $0 == 10 } == count / 2 && sizes.count { $0 == 3_000 } == count / 2)
    withExtendedLifetime(writer) {}
  }
}
