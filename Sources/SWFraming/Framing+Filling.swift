extension Framing {
  /// Decodes bytes that must be exactly one frame, such as a datagram, a file, or a record in a log.
  ///
  /// ```
  ///   05 68 65 6c 6c 6f       "hello", in the varint framing
  ///   05 68 65                refused: the frame is longer
  ///   02 68 65 6c             refused: there is a byte after the frame
  /// ```
  ///
  /// - Throws: ``FramingError`` if the bytes are not exactly one frame (``FramingError/Kind/misfit``), or no frame at
  ///   all; and an error of ``decode(_:payload:scanned:)``.
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
    if !demand.isFinal, case .frame(let last) = try scanner.atEnd(of: bytes) {
      guard last.isFinal, last.byteCount <= bytes.count else {
        throw FramingError(
          .brokenScanner, offset: bytes.count,
          explanation: "expected a last frame of 1 to \(bytes.count) bytes; found one of \(last.byteCount)")
      }
      demand = last
    }
    guard let payload = demand.payload, demand.byteCount <= bytes.count else {
      throw FramingError(
        .misfit, offset: bytes.count,
        explanation: "expected a frame of \(demand.isFinal ? "" : "at least ")\(demand.byteCount) bytes; "
          + "found \(bytes.count)")
    }
    if demand.byteCount < bytes.count {
      throw FramingError(
        .misfit, offset: demand.byteCount,
        explanation: "expected one frame of \(demand.byteCount) bytes and nothing after it; "
          + "found \(bytes.count)")
    }
    return try decode(bytes, payload: payload, scanned: scanner)
  }

  /// Decodes bytes that must be exactly one frame, as the function for a span does.
  ///
  /// - Throws: as the function for a span.
  public func decode(filling bytes: [UInt8]) throws -> Incoming { try decode(filling: bytes.span) }
}
