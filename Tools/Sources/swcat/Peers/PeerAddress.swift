internal import ArgumentParser
internal import SWMessaging

#if canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// A peer in the form of the command line.
enum PeerAddress: Sendable, CustomStringConvertible {
  /// `unix:PATH`, `unix:@NAME`, `tcp:HOST:PORT`.
  case service(Address)
  /// `fd:N`, `fd:R,W`: descriptors that the program was started with.
  case descriptors(reading: Int32, writing: Int32)
  /// `stdio:`.
  case standardStreams

  init(parsing text: String) throws {
    if text == "stdio:" {
      self = .standardStreams
      return
    }
    if text.hasPrefix("fd:") {
      let numbers = text.dropFirst(3).split(separator: ",", omittingEmptySubsequences: false).map {
        $0.utf8.allSatisfy { 0x30...0x39 ~= $0 } ? Int32($0) : nil
      }
      guard numbers.count <= 2, let reading = numbers[0], let writing = numbers[numbers.count - 1] else {
        throw ValidationError(
          "expected fd:N, or fd:R,W to read from one descriptor and write to the other, such as fd:3 or fd:3,4"
        )
      }
      self = .descriptors(reading: reading, writing: writing)
      return
    }
    let address: Address
    do throws(AddressError) {
      address = try Address(parsing: text)
    } catch {
      throw error.reason == .unknownScheme ? Self.unknown(text) : ValidationError("\(error)")
    }
    // Datagrams have boundaries of their own, and no end.
    if case .udp = address.kind { throw Self.unknown(text) }
    self = .service(address)
  }

  private static func unknown(_ text: String) -> ValidationError {
    // A path, or a host and its port, without what says so.
    let guess = ["unix", "tcp"].map { "\($0):\(text)" }.first { guess in
      let isPath = text.contains("/") && !text.contains(":")
      return guess.hasPrefix("unix") ? isPath : (try? Address(parsing: guess)) != nil
    }
    return ValidationError(
      "expected an address that begins with unix:, tcp:, fd: or stdio:, such as unix:/run/app.sock, unix:@name, "
        + "tcp:localhost:4000, fd:3\(guess.map { "; did you mean \($0)?" } ?? "")")
  }

  var description: String {
    switch self {
    case .service(let address): address.description
    case .descriptors(let reading, let writing):
      reading == writing ? "fd:\(reading)" : "fd:\(reading),\(writing)"
    case .standardStreams: "stdio:"
    }
  }

  /// The address before a colon, in complaints.
  var subject: String { if case .standardStreams = self { "stdio" } else { description } }

  var usesStandardInput: Bool { descriptors?.reading == 0 }
  var usesStandardOutput: Bool { descriptors?.writing == 1 }

  /// The descriptors, if it names any.
  var descriptors: (reading: Int32, writing: Int32)? {
    switch self {
    case .service: nil
    case .descriptors(let reading, let writing): (reading, writing)
    case .standardStreams: (0, 1)
    }
  }

  /// Checks that its descriptors are open. Call it before the program opens any descriptor, which could get one of these
  /// numbers.
  func claim() throws {
    for number in [descriptors?.reading, descriptors?.writing].compactMap({ $0 }).filter({ $0 > 2 }) {
      if fcntl(number, F_GETFD) < 0 {
        throw Failure(.connection, "\(self): descriptor \(number) is not open")
      }
    }
  }

  /// Whether a descriptor is a socket that listens, as a service manager passes it, and not one end of a connection.
  static func isListening(_ number: Int32) -> Bool {
    var listens: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    let result = unsafe getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size)
    return result == 0 && listens != 0
  }

  /// Whether a descriptor is open for reading, and for writing.
  static func modes(of number: Int32) -> (reads: Bool, writes: Bool) {
    let flags = fcntl(number, F_GETFL)
    if flags < 0 { return (true, true) }
    return (flags & O_ACCMODE != O_WRONLY, flags & O_ACCMODE != O_RDONLY)
  }
}
