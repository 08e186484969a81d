internal import SWMessaging
internal import Synchronization
internal import SystemPackage

/// The file of `--tee`: every frame that passes, in both directions, and at its end the bytes that broke a stream.
///
/// Nothing is written behind those bytes: they may be the beginning of a frame, and whatever follows would be taken for
/// the rest of it.
final class Tee: Sendable {
  private let path: String
  private let writer: SocketWriter
  private let isComplete = Mutex(false)

  init(_ path: String) throws {
    self.path = path
    do {
      let file = try FileDescriptor.open(
        FilePath(path), .writeOnly, options: [.create, .truncate, .closeOnExec],
        permissions: [.ownerReadWrite, .groupReadWrite, .otherReadWrite])
      writer = try SocketWriter(adopting: OwnedDescriptor(adopting: file))
    } catch let error as Errno {
      throw Failure(.connection, "--tee \(path): \(error)", isOfPeer: false)
    } catch {
      throw Failure(.connection, "--tee \(path): \(error)", isOfPeer: false)
    }
  }

  func write(_ frames: [UInt8]) async throws {
    if frames.isEmpty || isComplete.withLock({ $0 }) { return }
    do throws(EndpointError) {
      try await writer.send(frames)
    } catch {
      if case .cancelled = error.reason { throw Interrupted() }
      throw failure(error)
    }
  }

  /// Writes the bytes that broke a stream, also if the task has been cancelled. The first stream that breaks completes
  /// the file.
  func complete(with remains: [UInt8]) async throws {
    let isFirst = isComplete.withLock { isComplete in
      defer { isComplete = true }
      return !isComplete
    }
    guard isFirst else { return }
    let writing = Task { [writer] in try await writer.send(remains) }
    do {
      _ = try await writing.value
    } catch let error as EndpointError {
      throw failure(error)
    }
  }

  private func failure(_ error: EndpointError) -> Failure {
    if case .transport(let cause) = error.reason {
      return Failure(.connection, "--tee \(path): \(cause.errno)", isOfPeer: false)
    }
    return Failure(.connection, "--tee \(path): \(error)", isOfPeer: false)
  }
}
