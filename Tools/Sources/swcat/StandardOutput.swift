internal import SWMessaging
internal import SystemPackage

/// Standard output: bytes are gathered as long as more input is at hand.
struct StandardOutput: ~Copyable {
  private static var block: Int { 65_536 }

  private let writer: SocketWriter
  private var gathered: [UInt8] = []

  init() throws {
    do throws(EndpointError) {
      writer = try SocketWriter(duplicating: .standardOutput)
    } catch {
      throw Self.failure(error)
    }
  }

  /// Takes bytes in; sends what has been gathered once that is worth a system call.
  mutating func write(_ bytes: [UInt8]) throws {
    if gathered.isEmpty, bytes.count >= Self.block { return try send(bytes) }
    gathered += bytes
    if gathered.count >= Self.block { try flush() }
  }

  /// Sends what has been gathered.
  mutating func flush() throws {
    if gathered.isEmpty { return }
    try send(gathered)
    // After a large message not to be kept, or memory would stay with the largest.
    gathered.removeAll(keepingCapacity: gathered.count <= 2 * Self.block)
  }

  private func send(_ bytes: [UInt8]) throws {
    do throws(EndpointError) {
      try writer.blocking.send(bytes)
    } catch {
      throw Self.failure(error)
    }
  }

  /// A reader that has gone is no failure: so `head` ends a pipeline.
  private static func failure(_ error: EndpointError) -> any Error {
    guard case .transport(let error) = error.reason else {
      return Failure(.inputOutput, "standard output: \(error)")
    }
    switch error.errno {
    case .brokenPipe, .connectionReset: return OutputClosed()
    // Not open at all; or open, and not for writing.
    case .badFileDescriptor where (try? OwnedDescriptor(duplicating: .standardOutput)) == nil:
      return OutputClosed()
    default: return Failure(.inputOutput, "standard output: \(error.errno)")
    }
  }
}

/// Complaints and usage. No SIGPIPE comes of them either, and where nobody reads them they are lost.
func complain(_ text: String) {
  guard let writer = try? SocketWriter(duplicating: .standardError) else { return }
  _ = try? writer.blocking.send(text + "\n")
}
