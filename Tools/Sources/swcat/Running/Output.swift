internal import SWMessaging
internal import SystemPackage

/// Standard output. Several tasks may write: what one call writes stays together.
struct Output: Sendable {
  private let writer: SocketWriter

  init() throws {
    if StandardStreams.closedAtStart.contains(1) { throw OutputClosed() }
    do throws(EndpointError) {
      writer = try SocketWriter(duplicating: .standardOutput)
    } catch {
      throw Self.failure(error)
    }
  }

  /// Writes the bytes, also if the task has been cancelled: they belong to messages that have been taken.
  func write(_ bytes: [UInt8]) async throws {
    if bytes.isEmpty { return }
    let writing = Task { [writer] in try await writer.send(bytes) }
    do {
      _ = try await writing.value
    } catch let error as EndpointError {
      throw Self.failure(error)
    }
  }

  /// A reader that has gone is no failure: so `head` ends a pipeline.
  static func failure(_ error: EndpointError) -> any Error {
    guard case .transport(let error) = error.reason else {
      return Failure(.connection, "standard output: \(error)", isOfPeer: false)
    }
    switch error.errno {
    case .brokenPipe, .connectionReset: return OutputClosed()
    default: return Failure(.connection, "standard output: \(error.errno)", isOfPeer: false)
    }
  }
}
