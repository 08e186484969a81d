internal import ArgumentParser
internal import SWMessaging
internal import SystemPackage

/// The address of the peer.
struct AddressArgument: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "The peer: unix:PATH, unix:@NAME, tcp:HOST:PORT, fd:N, fd:R,W or stdio:.", valueName: "ADDRESS"),
    transform: { text in try PeerAddress(parsing: text) })
  var address: PeerAddress
}

/// Messages on the command line.
enum MessageArguments {
  /// If one of them is not a message, nothing is sent.
  static func payloads(
    _ texts: [String], _ choice: FramingChoice, _ format: MessageFormat
  ) throws -> [[UInt8]] {
    try texts.enumerated().map { index, text in
      do throws(Misread) {
        return try choice.codec.read(Array(text.utf8), as: format)
      } catch {
        throw Failure(
          .broken,
          "message \(index + 1), at offset \(error.offset): expected \(error.expected); found \(error.found)")
      }
    }
  }

  static func send(_ payloads: [[UInt8]], to peer: Peer, passing descriptor: FileDescriptor?) async throws {
    var rest = payloads[...]
    var count = 0
    do {
      if let descriptor, let first = rest.popFirst() {
        try await peer.send([first], passing: descriptor)
        count = 1
      }
      try await peer.send(Array(rest))
    } catch let error as Unsent {
      throw error.failure(at: "message \(count + error.index + 1)")
    }
  }
}
