extension Framing {
  /// Makes a message of bytes that one frame has to fill exactly: those of a datagram, of a file, of a record
  /// in a log.
  ///
  /// ```
  ///   05 68 65 6c 6c 6f       "hello", in the varint framing
  ///   05 68 65                refused: the frame is longer
  ///   02 68 65 6c             refused: a byte is left
  /// ```
  ///
  /// - Throws: ``FramingError`` when the bytes hold less or more than one frame
  ///   (``FramingError/Kind/misfit``) or none at all; what ``decode(_:payload:scanned:)`` throws.
  public func decode(filling bytes: Span<UInt8>) throws -> Incoming {
    var scanner = makeScanner()
    var demand = FrameDemand.atLeast(1)
    if !bytes.isEmpty { demand = try scanner.demand(in: bytes) }
    if demand.byteCount < 1 || !demand.isFinal && !bytes.isEmpty && demand.byteCount <= bytes.count {
      throw FramingError(
        .brokenScanner, offset: bytes.count,
        explanation: "expected a demand for more than \(bytes.count) bytes; found one for \(demand.byteCount)"
      )
    }
    if !demand.isFinal, case .frame(let last) = try scanner.atEnd(of: bytes) { demand = last }
    guard let payload = demand.payload, demand.byteCount <= bytes.count else {
      throw FramingError(
        .misfit, offset: bytes.count,
        explanation: "expected a frame of \(demand.isFinal ? "" : "at least ")\(demand.byteCount) bytes; "
          + "found \(bytes.count)")
    }
    if demand.byteCount < bytes.count {
      throw FramingError(
        .misfit, offset: demand.byteCount,
        explanation: "expected one frame of \(demand.byteCount) bytes and nothing behind it; "
          + "found \(bytes.count)")
    }
    return try decode(bytes, payload: payload, scanned: scanner)
  }

  /// Makes a message of bytes that one frame has to fill exactly, as the function for a span does.
  ///
  /// - Throws: as the function for a span.
  public func decode(filling bytes: [UInt8]) throws -> Incoming { try decode(filling: bytes.span) }
}
