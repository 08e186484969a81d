import COpenSSL
import Foundation
import Glibc
import SWMessaging
import SWTesting
import TLS
import Testing

/// Peers with an OpenSSL of their own: Python's `ssl`, and the command `openssl`.
@Suite struct ForeignTests {
  private static func tool(_ name: String) -> String? {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  static let python = ProcessInfo.processInfo.environment["SWTEST_PYTHON"] ?? tool("python3")
  static let openssl = tool("openssl")

  // MARK: Python

  /// Echoes lines, the connection being its standard input; its role, version and manner of ending are arguments,
  /// then come the files of certificate and key.
  private static let peer = """
    import socket, ssl, sys
    role, version, ending, certificate, key = sys.argv[1:]
    server = role == "server"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    if server:
        context.load_cert_chain(certificate, key)
    else:
        context.load_verify_locations(certificate)
    raw = socket.socket(fileno=0)
    name = None if server else "elsewhere.example" if ending == "refuse" else "localhost"
    try:
        connection = context.wrap_socket(raw, server_side=server, server_hostname=name)
        stream = connection.makefile("rb")
        for line in stream:
            connection.sendall(line)
            if ending == "die" and len(line) > 1000:
                connection.sendall(b"half a li")
                raw.detach()
                break
        else:
            connection.unwrap()
    except ssl.SSLError as error:
        print(error.reason)
    else:
        print("done")
    """

  private struct Peer {
    let end: TLSTransport
    let process: Process
    let output: Pipe
    let files: Files

    var lastWord: String {
      let bytes = output.fileHandleForReading.readDataToEndOfFile()
      return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
  }

  private func startPython(
    _ isServer: Bool, _ version: TLSTransport.Version, ending: String = "unwrap",
    trusting: TLSIdentity = identity
  ) throws -> Peer {
    let files = try Files(identity)
    let pair = try DescriptorPair.sockets(.tcp)
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(filePath: try #require(Self.python))
    process.arguments = [
      "-c", Self.peer, isServer ? "server" : "client", version == .tls12 ? "TLSv1_2" : "TLSv1_3", ending,
      files.certificate, files.key,
    ]
    let theirs = pair.second.release()
    let standardInput = FileHandle(fileDescriptor: theirs.rawValue, closeOnDealloc: true)
    process.standardInput = standardInput
    process.standardOutput = output
    try process.run()
    // From now on it is the peer's alone: its death is to be seen.
    try standardInput.close()
    let role =
      isServer
      ? TLSTransport.Role.client(trusting: trusting, host: "localhost") : TLSTransport.Role.server(identity)
    return Peer(
      end: TLSTransport(pair.first, as: role, version), process: process, output: output, files: files)
  }

  @Test(.enabled(if: python != nil), arguments: SessionTests.versions, [true, false])
  func `lines go to Python and back, and both end properly`(
    _ version: TLSTransport.Version, _ isServer: Bool
  ) async throws {
    let peer = try startPython(isServer, version)
    let end = MessageDuplex(transport: peer.end, framing: .lines)
    let sizes = [0, 1, 100, 16_384, 16_385, 500_000]
    let sending = Task {
      for size in sizes { try await end.send([UInt8](repeating: 97, count: size), timeout: patience) }
      end.finishSending()
    }
    for size in sizes {
      let line = try await end.receive(timeout: patience)
      #expect(line == [UInt8](repeating: 97, count: size))
    }
    let ending = try await end.next(timeout: patience)
    #expect(ending == nil)
    try await sending.value
    end.close()
    #expect(peer.lastWord == "done")
  }

  @Test(.enabled(if: python != nil), arguments: SessionTests.versions, [true, false])
  func `a Python that dies in the middle of a line is an error`(
    _ version: TLSTransport.Version, _ isServer: Bool
  ) async throws {
    let peer = try startPython(isServer, version, ending: "die")
    let end = MessageDuplex(transport: peer.end, framing: .lines)
    try await end.send([UInt8](repeating: 97, count: 2_000), timeout: patience)
    let line = try await end.receive(timeout: patience)
    #expect(line.count == 2_000)
    let reason = await failure { try await end.next(timeout: patience) }
    #expect(reason == .transport(TransportError(.receive, .connectionAbort)))
  }

  @Test(.enabled(if: python != nil), arguments: SessionTests.versions)
  func `certificates are refused from either side`(_ version: TLSTransport.Version) async throws {
    // We refuse Python's.
    let serving = try startPython(true, version, trusting: TLSIdentity(name: "localhost"))
    let client = MessageDuplex(transport: serving.end, framing: .lines)
    let refused = await failure { try await client.send("secret", timeout: patience) }
    #expect(refused == .transport(TransportError(.send, .protocolError)))
    #expect(serving.end.failure?.contains("certificate verify failed") == true)
    #expect(serving.lastWord.contains("ALERT"))
    // Python refuses ours, for it wants another host.
    let connecting = try startPython(false, version, ending: "refuse")
    let server = MessageDuplex(transport: connecting.end, framing: .lines)
    let told = await failure { try await server.receive(timeout: patience) }
    #expect(told == .transport(TransportError(.receive, .protocolError)))
    #expect(connecting.lastWord == "CERTIFICATE_VERIFY_FAILED")
  }

  // MARK: openssl s_client

  /// Its commands are lines of one letter, at the beginning of what one read brings: so each is seen to be obeyed
  /// before more is written. Unlike ours it cannot do with data that comes during another handshake.
  @Test(.enabled(if: openssl != nil), arguments: SessionTests.versions)
  func `the command openssl may shake hands again, and change keys`(_ version: TLSTransport.Version)
    async throws
  {
    let listener = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) { address in
      address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        bind(listener, address, size) == 0 && listen(listener, 1) == 0
          && getsockname(listener, address, &size) == 0
      }
    }
    try #require(isBound)
    let files = try Files(identity)
    let (process, input, output, remarks) = (Process(), Pipe(), Pipe(), Pipe())
    process.executableURL = URL(filePath: try #require(Self.openssl))
    process.arguments = [
      "s_client", "-connect", "127.0.0.1:\(UInt16(bigEndian: address.sin_port))", "-CAfile",
      files.certificate,
      "-verify_return_error", "-verify_hostname", "localhost", "-servername", "localhost",
      version == .tls12 ? "-tls1_2" : "-tls1_3",
    ]
    process.standardInput = input
    process.standardOutput = output
    process.standardError = remarks
    try process.run()
    let accepted = accept(listener, nil, nil)
    Glibc.close(listener)
    try #require(accepted >= 0)
    let transport = TLSTransport(
      OwnedDescriptor(adopting: .init(rawValue: accepted)), as: .server(identity), version)
    let end = MessageDuplex(transport: transport, framing: .lines)
    let commands = try MessageWriter(
      duplicating: .init(rawValue: input.fileHandleForWriting.fileDescriptor), framing: .lines)
    let shown = try MessageReader(
      duplicating: .init(rawValue: output.fileHandleForReading.fileDescriptor), framing: .lines)
    let remarked = try MessageReader(
      duplicating: .init(rawValue: remarks.fileHandleForReading.fileDescriptor), framing: .lines)
    for round in 0..<10 {
      try await commands.send("round \(round)", timeout: patience)
      let line = try await end.receive(timeout: patience)
      #expect(line == Array("round \(round)".utf8))
      let answer = "answer \(round) " + String(repeating: "x", count: 50_000)
      try await end.send(answer, timeout: patience)
      // The first comes behind what it says of the session.
      while try await shown.receive(timeout: patience) != Array(answer.utf8) {}
      try await commands.send(version == .tls12 ? "R" : round % 2 == 0 ? "k" : "K", timeout: patience)
      let remark = version == .tls12 ? "RENEGOTIATING" : "KEYUPDATE"
      while try await remarked.receive(timeout: patience) != Array(remark.utf8) {}
    }
    try await commands.send("last", timeout: patience)
    let last = try await end.receive(timeout: patience)
    #expect(last == Array("last".utf8))
    try await commands.send("Q", timeout: patience)
    let ending = try await end.next(timeout: patience)
    #expect(ending == nil)
    end.close()
    process.waitUntilExit()
    withExtendedLifetime(files) {}
  }
}

/// Certificate and key as PEM files, for as long as it lives.
private final class Files: Sendable {
  let certificate: String
  let key: String
  private let folder: URL

  init(_ identity: TLSIdentity) throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "tls-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    certificate = folder.appending(path: "certificate.pem").path
    key = folder.appending(path: "key.pem").path
    try Self.write(certificate) { PEM_write_bio_X509($0, identity.certificate) }
    try Self.write(key) { PEM_write_bio_PrivateKey($0, identity.key, nil, nil, 0, nil, nil) }
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  private static func write(_ path: String, _ write: (OpaquePointer) -> Int32) throws {
    let file = try #require(BIO_new_file(path, "w"))
    defer { BIO_free(file) }
    try #require(write(file) == 1)
  }
}
