/// A framing whose messages are results: a frame that cannot be decoded is a failure and not an error of the receive, so a
/// loop over messages goes on with the next frame.
///
/// The bytes on the wire, the limits and the laws are those of the framing inside. Errors of the framing itself, after
/// which the borders of the stream are lost, are thrown as before.
public struct ResultFraming<Base: Framing>: Framing {
  public let base: Base

  @inlinable
  public init(_ base: Base) { self.base = base }

  @inlinable
  public func makeScanner() -> Base.Scanner { base.makeScanner() }

  @inlinable
  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Base.Scanner
  ) throws -> Result<Base.Incoming, any Error> {
    do {
      return .success(try base.decode(frame, payload: payload, scanned: scanned))
    } catch {
      return .failure(error)
    }
  }

  @inlinable
  public func encode(_ message: Base.Outgoing, into parts: inout FrameParts) throws {
    try base.encode(message, into: &parts)
  }

  @inlinable
  public func didSend(count: Int, of total: Int) { base.didSend(count: count, of: total) }

  @inlinable
  public var observesSending: Bool { base.observesSending }

  @inlinable
  public var needsDatagrams: Bool { base.needsDatagrams }

  /// - Throws: ``FramingError`` of the framing inside; its other errors are failures.
  @inlinable
  public func decode(filling bytes: Span<UInt8>) throws -> Result<Base.Incoming, any Error> {
    do {
      return .success(try base.decode(filling: bytes))
    } catch let error as FramingError {
      throw error
    } catch {
      return .failure(error)
    }
  }
}

extension Framing {
  /// This framing with results as messages: a frame that cannot be decoded is a failure, and a loop goes on behind it.
  @inlinable
  public var results: ResultFraming<Self> { ResultFraming(self) }
}
