#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The invariant: whatever the bytes are, each type of Swift's and of Foundation's is decoded from them or refused with a
/// `DecodingError`, in every strategy; the same from the bytes as from the value that was read from them; and what was
/// decoded is encoded, decoded again and encoded again to the same bytes.
///
/// Built together with the sources of SWFraming, SWCoding and SWMsgPack into one module (`Fuzz/run`). A broken invariant
/// traps, and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzMsgPackDecoding(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  let limits = MsgPackLimits(depth: 40, elements: 1500)
  let value: MsgPackValue
  do throws(MsgPackError) {
    value = try MsgPackValue(bytes, limits: limits)
  } catch {
    precondition(0...bytes.count ~= error.offset && error.description.utf8.count < 2000, "\(error)")
    // A type that does not read the text may still be decoded.
    guard error.kind == .notUTF8, let old = try? MsgPackValue(bytes, limits: limits, usesOldRaw: true) else {
      return 0
    }
    var decoder = MsgPackDecoder()
    decoder.limits = limits
    decoder.usesOldRaw = true
    check(MsgPackValue.self, bytes, old, MsgPackEncoder(), decoder)
    return 0
  }
  for (strategy, isExact): (CodingDateStrategy, Bool) in [
    (.native, true), (.secondsSince1970, false), (.millisecondsSince1970, false), (.iso8601, false),
    (.deferredToDate, false),
  ] {
    var (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
    (encoder.dateStrategy, decoder.dateStrategy) = (strategy, strategy)
    decoder.limits = limits
    check(Date.self, bytes, value, encoder, decoder, isExact: isExact)
    check([Date].self, bytes, value, encoder, decoder, isExact: isExact)
  }
  var (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
  decoder.limits = limits
  func each<T: Codable>(_ type: T.Type) {
    check(T.self, bytes, value, encoder, decoder)
    check([T].self, bytes, value, encoder, decoder)
    check([String: T].self, bytes, value, encoder, decoder)
    check([T?].self, bytes, value, encoder, decoder)
  }
  each(Decimal.self)
  each(UUID.self)
  each(URL.self)
  each(Data.self)
  each([UInt8].self)
  each(Int.self)
  each(UInt64.self)
  each(Int8.self)
  each(Int128.self)
  each(UInt128.self)
  each(Double.self)
  each(Float.self)
  each(Bool.self)
  each(String.self)
  each([[Double]].self)
  each([[Int32]].self)
  each(MsgPackTimestamp.self)
  each(MsgPackValue.self)
  check([Int: Int].self, bytes, value, encoder, decoder)
  check([UUID: Decimal].self, bytes, value, encoder, decoder)
  check([Data: Double].self, bytes, value, encoder, decoder)
  for strategy: CodingKeyStrategy in [.unchanged, .snakeCase] {
    (encoder.keyStrategy, decoder.keyStrategy) = (strategy, strategy)
    encoder.usesIntegerKeys.toggle()
    check(Fields.self, bytes, value, encoder, decoder)
    check([Fields].self, bytes, value, encoder, decoder)
  }
  return 0
}

private struct Fields: Codable {
  var a: Decimal?
  var someDate: Date?
  var x: Int?
  var y: Float?
  var inner: [Fields]?

  enum CodingKeys: Int, CodingKey { case a, someDate, x, y, inner }
}

private func check<T: Codable>(
  _ type: T.Type, _ bytes: [UInt8], _ value: MsgPackValue, _ encoder: MsgPackEncoder,
  _ decoder: MsgPackDecoder,
  isExact: Bool = true
) {
  var encoder = encoder
  encoder.sortsKeys = true
  let fromValue = Result { try decoder.decode(type, from: value) }
  do {
    let decoded = try decoder.decode(type, from: bytes)
    let first: [UInt8]
    do {
      first = try encoder.encodeBytes(decoded)
    } catch {
      precondition(error is EncodingError, "\(error)")
      return
    }
    do {
      let again = try encoder.encodeBytes(decoder.decode(type, from: first))
      precondition(!isExact || again == first, "\(first), and \(again)")
    } catch {
      preconditionFailure("cannot be decoded again: \(error)")
    }
    guard case .success(let other) = fromValue else { preconditionFailure("\(fromValue), and a value") }
    precondition((try? encoder.encodeBytes(other)) == first, "another value")
  } catch {
    precondition(error is DecodingError, "\(error)")
    guard case .failure(let other) = fromValue else { preconditionFailure("a value, and \(error)") }
    precondition(other is DecodingError, "\(other)")
  }
}
