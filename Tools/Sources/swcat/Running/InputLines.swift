internal import SWMessaging
internal import SystemPackage

/// A line of standard input, and its place there.
struct InputLine: Sendable {
  var bytes: [UInt8]
  var number: UInt64
  var offset: UInt64

  /// Where a byte of it stands, for complaints.
  func place(ofByte byte: Int = 0) -> String { "input line \(number), at offset \(offset + UInt64(byte))" }
}

/// The lines of standard input, whatever that is. The last one may do without its line feed.
struct InputLines: ItemSource {
  let reader: MessageReader<LineFraming>
  private var number: UInt64 = 1
  private var offset: UInt64 = 0

  init(_ format: MessageFormat, maximumFrameSize: Int) throws {
    if StandardStreams.closedAtStart.contains(0) {
      throw Failure(.connection, "standard input: \(Errno.badFileDescriptor)")
    }
    do throws(EndpointError) {
      reader = try MessageReader(
        duplicating: .standardInput, framing: .lines(ending: .lineFeed, takesLastLine: true),
        maximumFrameSize: format.longestLine(forFrameOf: maximumFrameSize))
    } catch {
      throw Self.failure(error)
    }
    Stop.shared.ends(reader)
  }

  mutating func take(until deadline: Deadline) async throws(EndpointError) -> InputLine? {
    guard let bytes = try await reader.next(until: deadline) else { return nil }
    defer {
      number += 1
      offset += UInt64(bytes.count) + 1
    }
    return InputLine(bytes: bytes, number: number, offset: offset)
  }

  static func size(of line: InputLine) -> Int { line.bytes.count }

  func explained(_ error: EndpointError) -> any Error {
    if case .framing(let error) = error.reason, case .tooLarge(_, let limit) = error.kind {
      let place = InputLine(bytes: [], number: number, offset: offset).place()
      return Failure(
        .broken,
        "\(place): expected a line of at most \(limit) bytes, which --max-frame allows for; it goes on")
    }
    return Self.failure(error)
  }

  private static func failure(_ error: EndpointError) -> any Error {
    switch error.reason {
    case .cancelled: Interrupted()
    case .transport(let cause): Failure(.connection, "standard input: \(cause.errno)")
    default: Failure(.connection, "standard input: \(error)")
    }
  }
}
