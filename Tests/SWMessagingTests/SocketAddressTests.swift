import Foundation
import Glibc
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct SocketAddressTests {
  // MARK: With real sockets

  /// A socket of datagrams that is bound to an address, and the address that the system then says it has.
  private func bound(to wanted: SocketAddress, _ family: Int32) throws -> (SocketDuplex, SocketAddress) {
    let number = socket(family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    let descriptor = OwnedDescriptor(adopting: FileDescriptor(rawValue: number))
    let result = unsafe wanted.bytes.withUnsafeBytes { bytes in
      unsafe bytes.withMemoryRebound(to: sockaddr.self) {
        unsafe bind(number, $0.baseAddress, UInt32(bytes.count))
      }
    }
    try #require(result == 0, "bind \(wanted): \(Errno(rawValue: errno))")
    return (try SocketDuplex(adopting: descriptor), try name(of: number))
  }

  private func name(of number: Int32) throws -> SocketAddress {
    var bytes = [UInt8](repeating: 0, count: 128)
    var count: UInt32 = 128
    let result = unsafe bytes.withUnsafeMutableBytes { room in
      unsafe room.withMemoryRebound(to: sockaddr.self) { unsafe getsockname(number, $0.baseAddress, &count) }
    }
    try #require(result == 0)
    return SocketAddress(bytes: Array(bytes.prefix(Int(count))))
  }

  private func scratch() throws -> URL {
    let directory = FileManager.default.temporaryDirectory.appending(
      path: "sw-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    return directory
  }

  /// A datagram goes to the address, and its answer to the address that it came from.
  private func exchange(_ first: SocketDuplex, _ second: SocketDuplex, at address: SocketAddress) async throws
  {
    try await first.send([1, 2], to: address)
    let received = try await second.receiveBytes(timeout: .patience)
    #expect(received.bytes == [1, 2])
    try await second.send([3], to: try #require(received.sender))
    #expect(try await first.receive(timeout: .patience) == [3])
  }

  @Test(arguments: ["127.0.0.1", "::1"])
  func `an IP address reaches its socket`(_ ip: String) async throws {
    let family = ip.contains(":") ? AF_INET6 : AF_INET
    let any = try #require(SocketAddress(ip: ip, port: 0))
    let (first, from) = try bound(to: any, family)
    let (second, to) = try bound(to: any, family)
    #expect(to.ip == ip)
    let port = try #require(to.port)
    #expect(port != 0 && from.port != port)
    // Made by hand it is the very address that the system gives.
    #expect(SocketAddress(ip: ip, port: port) == to)
    try await exchange(first, second, at: to)
  }

  @Test(arguments: [1, 20, 107, 108])
  func `a path of up to 108 bytes reaches its socket`(_ byteCount: Int) async throws {
    let directory = try scratch()
    defer { try? FileManager.default.removeItem(at: directory) }
    let end = directory.path + "/"
    guard byteCount >= end.utf8.count + 1 else {
      // Too short for a scratch directory: what the system would be given.
      let address = try #require(SocketAddress(unixPath: String(repeating: "p", count: byteCount)))
      #expect(address.bytes.count == 2 + byteCount + 1)
      #expect(address.bytes.last == 0)
      return
    }
    let path = end + String(repeating: "s", count: byteCount - end.utf8.count)
    #expect(path.utf8.count == byteCount)
    let address = try #require(SocketAddress(unixPath: path))
    #expect(address.bytes.count == 2 + min(byteCount + 1, 108))
    let (second, named) = try bound(to: address, AF_UNIX)
    #expect(named == address)
    #expect(named.unixPath == path)
    let other = try #require(SocketAddress(unixPath: end + "f"))
    let (first, _) = try bound(to: other, AF_UNIX)
    try await exchange(first, second, at: named)
  }

  @Test func `an abstract name is exactly its bytes`() async throws {
    let unique = UUID().uuidString
    let names = [unique, unique + "\0", unique + "\0\0"].map { Array($0.utf8) }
    // Three sockets, whose names differ in NULs alone.
    var sockets: [SocketDuplex] = []
    for name in names {
      let address = try #require(SocketAddress(abstractName: name))
      #expect(address.bytes.count == 3 + name.count)
      let (socket, named) = try bound(to: address, AF_UNIX)
      #expect(named == address)
      #expect(named.abstractName == name)
      #expect(named.unixPath == nil)
      sockets.append(socket)
    }
    for (index, name) in names.enumerated() {
      let address = try #require(SocketAddress(abstractName: name))
      try await exchange(sockets[(index + 1) % 3], sockets[index], at: address)
    }
  }

  @Test func `a socket without a name has none, and can be given one by the system`() throws {
    let pair = try DescriptorPair.sockets(.unixDatagrams)
    let unnamed = try name(of: pair.first.withDescriptor { $0.rawValue })
    #expect(unnamed.isUnnamed)
    #expect(unnamed == .unnamedUnix)
    #expect(unnamed.bytes.count == 2)
    let (socket, named) = try bound(to: .unnamedUnix, AF_UNIX)
    #expect(named.abstractName?.count == 5)
    #expect(!named.isUnnamed)
    withExtendedLifetime(socket) {}
  }

  // MARK: Made and read

  @Test func `an IPv6 address has a flow and a scope`() throws {
    let address = try #require(SocketAddress(ip: "fe80::1%7", port: 0x1234, flow: 0x12345))
    #expect(address.family == .ipv6)
    #expect(address.scope == 7)
    #expect(address.flow == 0x12345)
    #expect(address.port == 0x1234)
    #expect(address.ip == "fe80::1")
    let start: [UInt8] = [0x12, 0x34, 0, 1, 0x23, 0x45, 0xfe, 0x80]
    #expect(Array(address.bytes[2...]) == start + [UInt8](repeating: 0, count: 13) + [1, 7, 0, 0, 0])
    #expect(address.description == "[fe80::1%7]:4660")
    #expect(
      SocketAddress(
        ipBytes: try #require(address.ipBytes), port: 0x1234, flow: 0x12345, scope: 7) == address)
    // The loopback interface is there by name.
    let loopback = unsafe if_nametoindex("lo")
    #expect(loopback != 0)
    #expect(SocketAddress(ip: "fe80::1%lo", port: 1)?.scope == loopback)
  }

  @Test(arguments: [
    "", "localhost", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4%1", ":::", "::1%", "::1%nosuchif", "::1%-1",
    "1.2.3.4\0",
  ])
  func `what is no IP address makes none`(_ text: String) {
    #expect(SocketAddress(ip: text, port: 1) == nil)
  }

  @Test func `what cannot be an address makes none`() {
    #expect(SocketAddress(ipBytes: [1, 2, 3], port: 1) == nil)
    #expect(SocketAddress(unixPath: "") == nil)
    #expect(SocketAddress(unixPath: "a\0b") == nil)
    #expect(SocketAddress(unixPath: String(repeating: "x", count: 109)) == nil)
    #expect(SocketAddress(abstractName: [UInt8](repeating: 0, count: 108)) == nil)
    #expect(SocketAddress(abstractName: [UInt8](repeating: 0, count: 107))?.bytes.count == 110)
  }

  @Test func `bytes that mean nothing make no difference`() throws {
    let path = try #require(SocketAddress(unixPath: "/x"))
    #expect(SocketAddress(bytes: path.bytes + [0, 0, 7]) == path)
    #expect(SocketAddress(bytes: Array(path.bytes.dropLast())) == path)
    let ip = try #require(SocketAddress(ip: "1.2.3.4", port: 5))
    #expect(SocketAddress(bytes: ip.bytes[..<8] + [9, 9, 9, 9, 9, 9, 9, 9]) == ip)
    // Those of an abstract name do.
    let name = try #require(SocketAddress(abstractName: "x"))
    #expect(SocketAddress(bytes: name.bytes + [0]) != name)
  }

  @Test func `an incomplete address has no parts`() {
    for bytes in [[2, 0], [2, 0, 1, 2], [10, 0, 1, 2, 3], [99, 0, 1]] as [[UInt8]] {
      let address = SocketAddress(bytes: bytes)
      #expect(address.ip == nil && address.port == nil && address.scope == nil && address.flow == nil)
      #expect(address.unixPath == nil && address.abstractName == nil && !address.isUnnamed)
    }
    #expect(SocketAddress(bytes: [99, 0]).family == .other(99))
  }

  @Test func `an address reads as people write it`() throws {
    #expect(SocketAddress(ip: "127.0.0.1", port: 80)?.description == "127.0.0.1:80")
    #expect(SocketAddress(ip: "::1", port: 80)?.description == "[::1]:80")
    #expect(SocketAddress(ip: "2001:0db8:0:0:0:0:0:1", port: 1)?.description == "[2001:db8::1]:1")
    #expect(SocketAddress(unixPath: "/run/x.sock")?.description == "/run/x.sock")
    #expect(SocketAddress(abstractName: "name")?.description == "@name")
    #expect(SocketAddress(abstractName: [0, 0x5c, 0xff])?.description == #"@\x00\x5c\xff"#)
    #expect(SocketAddress.unnamedUnix.description == "an unnamed Unix socket")
    #expect(SocketAddress(bytes: [99, 0]).description == "an address of family 99")
    #expect(SocketAddress(bytes: [2, 0]).description == "an incomplete address")
  }
}
