import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// A descriptor that the kernel refuses to pass is the caller's mistake: nothing was sent, and the
/// connection is as good as before.
@Suite(.lastResort, .leavesNothing) struct RefusedDescriptorTests {
  @Test func `a wrong descriptor fails its own send alone, and the end stays an end`() async throws {
    let (left, right) = try makeSocketPair(.unix)
    let wrong = FileDescriptor(rawValue: 900_000)
    let error = await endpointError { try await left.send([1], passing: [wrong]) }
    #expect(error?.reason == .transport(TransportError(.send, .badFileDescriptor)))
    // Nothing was sent, so the stream goes on.
    try await left.send([2])
    #expect(try await right.receive(timeout: .seconds(10)) == [2])
    right.close()
    #expect(await endpointError { try await left.receive(timeout: .seconds(10)) }?.reason == .endOfStream)
  }
}
