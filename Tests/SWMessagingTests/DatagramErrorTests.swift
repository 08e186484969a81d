import Foundation
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// "An error about this datagram ends nothing": what is about one datagram is a list of errors, and the
/// list has holes that a client can hit.
@Suite(.lastResort, .leavesNothing) struct DatagramErrorTests {
  /// An address without a receiver: Linux delivers datagrams that say they come from port 0, and none can be sent there.
  private func portless(_ address: SocketAddress) -> SocketAddress {
    var bytes = address.bytes
    (bytes[2], bytes[3]) = (0, 0)
    return SocketAddress(bytes: bytes)
  }

  @Test(arguments: UDPSocket.Version.allCases)
  func `an answer to port 0 fails alone`(_ version: UDPSocket.Version) async throws {
    let server = try UDPSocket(version)
    let nobody = portless(server.address)
    let client = try UDPSocket(version)
    let target = client.address
    let listening = try server.endpoint()
    let receiving = try client.endpoint()
    let error = await endpointError { try await listening.send([1], to: nobody) }
    #expect(error?.reason == .transport(TransportError(.send, .invalidArgument)))
    // Others have their answers.
    try await listening.send([2], to: target)
    #expect(try await receiving.receive(timeout: .seconds(10)) == [2])
  }

  /// The effect of an error of sending on receiving: the first error stands for all that come.
  @Test func `a refusal is told as what it is, and ends nothing, though a send has failed before`()
    async throws
  {
    let left = try UDPSocket(.v4)
    let right = try UDPSocket(.v4)
    let (leftAddress, rightAddress) = (left.address, right.address)
    try left.connect(to: rightAddress)
    let endpoint = try left.endpoint()
    try right.endpoint().close()
    // The address has no receiver: the refusal comes before the call has returned, and waits in the socket.
    try await endpoint.send("anybody?")
    let error = await endpointError { try await endpoint.send([1], to: portless(rightAddress)) }
    #expect(error?.reason == .transport(TransportError(.send, .invalidArgument)))
    let refusal = await endpointError { try await endpoint.receive(timeout: .seconds(10)) }
    #expect(refusal?.reason == .transport(TransportError(.receive, .connectionRefused)))
    // A receiver binds the address.
    let later = try UDPSocket(.v4, port: UInt16(rightAddress.bytes[2]) << 8 | UInt16(rightAddress.bytes[3]))
    let sender = try later.endpoint()
    try await sender.send([7], to: leftAddress)
    #expect(try await endpoint.receive(timeout: .seconds(10)) == [7])
  }

  enum Trick: String, CaseIterable, Sendable { case streamSocket, fileAsDirectory, loop }

  @Test(arguments: Trick.allCases)
  func `a client that plays with its path harms nobody else`(_ trick: Trick) async throws {
    let directory = FileManager.default.temporaryDirectory.appending(
      path: "sw-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    func bound(_ name: String, _ type: __socket_type = SOCK_DGRAM) throws -> (Int32, SocketAddress) {
      let address = try #require(SocketAddress(unixPath: directory.appending(path: name).path))
      let number = socket(AF_UNIX, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      let result = unsafe address.bytes.withUnsafeBytes { bytes in
        unsafe bytes.withMemoryRebound(to: sockaddr.self) {
          unsafe bind(number, $0.baseAddress, UInt32(bytes.count))
        }
      }
      try #require(result == 0)
      return (number, address)
    }
    let server = try SocketDuplex(adopting: try bound("server").0)
    let (good, goodAddress) = try bound("good")
    let receiving = try SocketDuplex(adopting: good)
    let bad: SocketAddress
    var stream: Int32 = -1
    defer { if stream >= 0 { close(stream) } }
    switch trick {
    case .streamSocket: (stream, bad) = try bound("bad", SOCK_STREAM)
    case .fileAsDirectory:
      try Data().write(to: directory.appending(path: "file"))
      bad = try #require(SocketAddress(unixPath: directory.appending(path: "file/bad").path))
    case .loop:
      let link = directory.appending(path: "loop")
      try FileManager.default.createSymbolicLink(at: link, withDestinationURL: link)
      bad = try #require(SocketAddress(unixPath: link.path))
    }
    let wrong: Errno =
      switch trick {
      case .streamSocket: .protocolWrongTypeForSocket
      case .fileAsDirectory: .notDirectory
      case .loop: .tooManySymbolicLinkLevels
      }
    let error = await endpointError { try await server.send([1], to: bad) }
    #expect(error?.reason == .transport(TransportError(.send, wrong)))
    // Others have their answers.
    try await server.send([2], to: goodAddress)
    #expect(try await receiving.receive(timeout: .seconds(10)) == [2])
  }
}
