internal import SWMessaging
internal import SystemPackage

/// Messages from standard input, whatever that is.
struct StandardInput<F: Framing> {
  private let reader: MessageReader<F>

  init(framing: F, mode: ReceiveMode, maximumFrameSize: Int) throws {
    do throws(EndpointError) {
      reader = try MessageReader(
        duplicating: .standardInput, framing: framing, mode: mode, maximumFrameSize: maximumFrameSize)
    } catch {
      throw Self.failure(error)
    }
  }

  /// The next message; nil at the end. Before it waits for one, it flushes what is to be seen.
  ///
  /// - Throws: ``EndpointError`` about what came; ``Failure`` where reading failed; what flushing throws.
  func next(flushing output: inout StandardOutput) throws -> F.Incoming? {
    do throws(EndpointError) {
      return try reader.blocking.next(timeout: .zero)
    } catch {
      guard case .timedOut = error.reason else { throw Self.failure(error) }
    }
    try output.flush()
    do throws(EndpointError) {
      return try reader.blocking.next()
    } catch {
      throw Self.failure(error)
    }
  }

  private static func failure(_ error: EndpointError) -> any Error {
    guard case .transport(let cause) = error.reason else { return error }
    return Failure(.inputOutput, "standard input: \(cause.errno)")
  }
}
