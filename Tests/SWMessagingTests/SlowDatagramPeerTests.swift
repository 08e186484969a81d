import CSysTestSupport
import Foundation
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Whether a datagram socket that is not connected is writable says nothing of a receiver whose queue is
/// full: `poll` says yes at once, and each attempt in vain makes another edge.
@Suite(.serialized, .lastResort, .leavesNothing) struct SlowDatagramPeerTests {
  /// Unix datagram sockets with names, in a directory of their own.
  private final class Names: Sendable {
    private let directory: URL

    init() throws {
      directory = FileManager.default.temporaryDirectory.appending(path: "sw-\(UUID().uuidString.prefix(8))")
      try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    func bound(_ name: String) throws -> (SocketDuplex, SocketAddress) {
      let address = try #require(SocketAddress(unixPath: directory.appending(path: name).path))
      let number = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      let result = unsafe address.bytes.withUnsafeBytes { bytes in
        unsafe bytes.withMemoryRebound(to: sockaddr.self) {
          unsafe bind(number, $0.baseAddress, UInt32(bytes.count))
        }
      }
      #expect(result == 0)
      return (try SocketDuplex(adopting: number), address)
    }
  }

  /// Sends until the receiver's queue is full.
  private func fill(_ address: SocketAddress, from server: SocketDuplex) async throws {
    for _ in 0..<10_000 {
      do throws(EndpointError) {
        try await server.send([0], to: address, timeout: .zero)
      } catch {
        #expect(error.reason == .timedOut)
        return
      }
    }
    Issue.record("a queue has an end")
  }

  @Test func `line 10: a thread that waits for a datagram peer takes no processor time`() async throws {
    let names = try Names()
    let (server, _) = try names.bound("server")
    let (slow, target) = try names.bound("slow")
    try await fill(target, from: server)
    let thread = TestThread { () -> UInt64 in
      let before = swsys_thread_cpu()
      _ = try? server.blocking.send([1], to: target, timeout: .milliseconds(500))
      return swsys_thread_cpu() - before
    }
    let used = try await thread.value
    #expect(used < 100_000_000, "of 500 ms of waiting it was busy for \(used / 1_000_000)")
    withExtendedLifetime(slow) {}
  }

  @Test func `line 10: a task that waits for a datagram peer costs the reactor nothing`() async throws {
    let names = try Names()
    let (server, _) = try names.bound("server")
    let (slow, target) = try names.bound("slow")
    try await fill(target, from: server)
    let before = processorTime()
    let error = await endpointError { try await server.send([1], to: target, timeout: .milliseconds(500)) }
    #expect(error?.reason == .timedOut)
    let used = processorTime() - before
    #expect(used < .milliseconds(250), "in 500 ms of waiting the process was busy for \(used)")
    withExtendedLifetime(slow) {}
  }

  @Test(arguments: [false, true])
  func `a datagram for somebody else does not wait for a peer that does not read`(_ isThread: Bool)
    async throws
  {
    let names = try Names()
    let (server, _) = try names.bound("server")
    let (slow, slowAddress) = try names.bound("slow")
    let (other, otherAddress) = try names.bound("other")
    try await fill(slowAddress, from: server)
    let task = isThread ? nil : Task { try await server.send([1], to: slowAddress) }
    let thread = isThread ? TestThread { try server.blocking.send([1], to: slowAddress) } : nil
    await eventually { server.queued == 1 }
    let error: EndpointError?
    do throws(EndpointError) {
      try await server.send([2], to: otherAddress, timeout: .seconds(3))
      error = nil
    } catch let failure {
      error = failure
    }
    #expect(error == nil, "one that does not read keeps all others from their answers")
    #expect((try? await other.receive(timeout: .zero)) == [2])
    task?.cancel()
    server.close()
    _ = try? await task?.value
    _ = try? await thread?.value
    withExtendedLifetime(slow) {}
  }
}
