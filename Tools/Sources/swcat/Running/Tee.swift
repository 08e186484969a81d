internal import SWMessaging
internal import SystemPackage

/// The file of `--tee`: every frame that passes, in both directions.
struct Tee: Sendable {
  private let path: String
  private let writer: SocketWriter

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
    if frames.isEmpty { return }
    do throws(EndpointError) {
      try await writer.send(frames)
    } catch {
      if case .cancelled = error.reason { throw Interrupted() }
      if case .transport(let cause) = error.reason {
        throw Failure(.connection, "--tee \(path): \(cause.errno)", isOfPeer: false)
      }
      throw Failure(.connection, "--tee \(path): \(error)", isOfPeer: false)
    }
  }
}
