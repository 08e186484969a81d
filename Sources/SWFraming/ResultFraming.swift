/// A framing whose messages are results. A frame that cannot be decoded is a `.failure` instead of an error of the
/// receive, so a loop over messages goes on with the next frame.
///
/// The bytes, the limits and the laws are those of the inner framing. A framing error in a stream, after which frames can no
/// longer be told apart, is thrown as before. A datagram that is no frame is a `.failure`, because it says nothing about the
/// next one.
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

  /// Decodes bytes that must be exactly one frame. Each error of the inner framing is returned as a `.failure`.
  @inlinable
  public func decode(filling bytes: Span<UInt8>) throws -> Result<Base.Incoming, any Error> {
    do {
      return .success(try base.decode(filling: bytes))
    } catch {
      return .failure(error)
    }
  }
}

extension Framing {
  /// This framing with results as messages: a frame that cannot be decoded is a `.failure`, and a loop goes on with
  /// the next frame.
  @inlinable
  public var results: ResultFraming<Self> { ResultFraming(self) }
}
