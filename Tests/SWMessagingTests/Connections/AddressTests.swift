import SWIO
import SWTesting
import SystemPackage
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing)
struct AddressTests {
  static let written: [(String, Address)] = [
    ("unix:/run/app.sock", .unix("/run/app.sock")),
    ("unix:app.sock", .unix("app.sock")),
    ("unix:/tmp/with space and ü:colon", .unix("/tmp/with space and ü:colon")),
    ("unix:\\x40app", .unix("@app")),
    ("unix:./@app", .unix("./@app")),
    ("unix:/a\\x5cb\\x0a", .unix("/a\\b\n")),
    ("unix:@app", .abstract("app")),
    ("unix:@", .abstract("")),
    ("unix:@@", .abstract("@")),
    ("unix:@a\\x00b\\xff", .abstract([97, 0, 98, 255])),
    ("tcp:localhost:80", .tcp(host: "localhost", port: 80)),
    ("tcp:127.0.0.1:0", .tcp(host: "127.0.0.1", port: 0)),
    ("tcp:[::1]:65535", .tcp(host: "::1", port: 65535)),
    ("tcp:[fe80::1%eth0]:80", .tcp(host: "fe80::1%eth0", port: 80)),
    ("tcp:[::ffff:1.2.3.4]:80", .tcp(host: "::ffff:1.2.3.4", port: 80)),
    ("udp:localhost:514", .udp(host: "localhost", port: 514)),
    ("udp:[::1]:0", .udp(host: "::1", port: 0)),
    ("fd:3", .descriptor(3)),
    ("fd:2147483647", .descriptor(.max)),
  ]

  @Test(arguments: written)
  func `an address is written and parsed`(text: String, address: Address) throws {
    #expect(try Address(parsing: text) == address)
    #expect(address.description == text)
    #expect(Address(text) == address)
  }

  @Test func `every abstract name and every path survives being written`() throws {
    var random = SeededGenerator(seed: 12)
    for _ in 0..<2_000 {
      let bytes = (0..<Int.random(in: 1...107, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      for address in [Address.abstract(bytes), .unix(FilePath(bytes: bytes.filter { $0 != 0 } + [97]))] {
        #expect(Address(address.description) == address)
      }
    }
    for byte in UInt8(0)...255 {
      #expect(Address(Address.abstract([byte]).description) == .abstract([byte]))
      let text = String(decoding: [0x61, byte], as: UTF8.self)
      #expect(Address(Address.abstract(text).description) == .abstract(text))
    }
  }

  static let faults: [(String, AddressError.Reason, Int)] = [
    ("", .unknownScheme, 0), ("unix", .unknownScheme, 0), ("/run/app.sock", .unknownScheme, 0),
    ("unixgram:/a", .unknownScheme, 0), ("Unix:/a", .unknownScheme, 0), (" unix:/a", .unknownScheme, 0),
    ("unix:", .emptyPath, 5), ("unix:/a\\x00b", .nulInPath, 5), ("unix:/a\0b", .nulInPath, 5),
    ("unix:/a\\b", .invalidEscape, 7), ("unix:@a\\x4", .invalidEscape, 7), ("unix:@\\", .invalidEscape, 6),
    ("unix:@\\xg0", .invalidEscape, 6),
    ("unix:@" + String(repeating: "x", count: 108), .nameTooLong, 6),
    ("tcp:", .missingPort, 4), ("tcp:localhost", .missingPort, 13), ("tcp:localhost:", .missingPort, 14),
    ("tcp::80", .missingHost, 4), ("tcp:host:65536", .invalidPort, 9), ("tcp:host:-1", .invalidPort, 9),
    ("tcp:host:+1", .invalidPort, 9), ("tcp:host:http", .invalidPort, 9), ("tcp:host: 80", .invalidPort, 9),
    ("tcp:host:99999999999999999999999", .invalidPort, 9), ("tcp:host:٣", .invalidPort, 9),
    ("tcp:::1:80", .invalidHost, 4), ("tcp:::1", .invalidHost, 4), ("tcp:[::1:80", .invalidHost, 4),
    ("tcp:[::1]", .missingPort, 9), ("tcp:[::1]80", .missingPort, 9), ("tcp:[localhost]:80", .invalidHost, 5),
    ("tcp:[::g]:80", .invalidHost, 4), ("tcp:[fe80::1%]:80", .invalidHost, 4), ("tcp:[]:80", .invalidHost, 5),
    ("tcp:a b:80", .invalidHost, 4), ("tcp:a\0b:80", .invalidHost, 4), ("tcp:a/b:80", .invalidHost, 4),
    ("udp:", .missingPort, 4), ("udp::80", .missingHost, 4), ("udp:::1:80", .invalidHost, 4),
    ("udp:host:65536", .invalidPort, 9),
    ("fd:", .invalidDescriptor, 3), ("fd:x", .invalidDescriptor, 3), ("fd:-1", .invalidDescriptor, 3),
    ("fd:2147483648", .invalidDescriptor, 3), ("fd:3 ", .invalidDescriptor, 3),
  ]

  @Test(arguments: faults)
  func `what is no address says what is wrong, and where`(
    text: String, reason: AddressError.Reason, offset: Int
  ) throws {
    let error = try #require(throws: AddressError.self) { try Address(parsing: text) }
    #expect(error.reason == reason && error.offset == offset && error.text == text, "\(error)")
    #expect(error.description.contains("at byte \(offset): "))
    #expect(Address(text) == nil)
  }

  @Test(arguments: [
    Address.unix(""), .abstract(String(repeating: "x", count: 108)), .tcp(host: "", port: 1),
    .tcp(host: "[::1]", port: 1), .tcp(host: "a:b", port: 1), .tcp(host: "a\0b", port: 1),
    .udp(host: "", port: 1), .udp(host: "[::1]", port: 1), .descriptor(-1),
  ])
  func `an address that was made in code may be unusable, and says so`(address: Address) {
    #expect(throws: AddressError.self) { try address.validate() }
  }

  @Test func `an address is made of what the kernel gives`() throws {
    #expect(Address(try #require(SocketAddress(ip: "::1", port: 80))) == .tcp(host: "::1", port: 80))
    #expect(
      Address(try #require(SocketAddress(ip: "fe80::1%1", port: 80))) == .tcp(host: "fe80::1%1", port: 80))
    #expect(Address(try #require(SocketAddress(unixPath: "/a"))) == .unix("/a"))
    #expect(Address(try #require(SocketAddress(abstractName: "a\0"))) == .abstract("a\0"))
    #expect(Address(.unnamedUnix) == nil)
  }
}
