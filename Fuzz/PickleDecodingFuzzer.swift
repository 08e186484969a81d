#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The invariant: whatever a pickle says, each type of Swift's and of Foundation's is decoded from it or refused with a
/// `DecodingError`, in every strategy; the same from the pickle itself as from the value that was read from it; and what was
/// decoded is encoded and decoded again to the same.
///
/// Built together with the sources of SWFraming, SWCoding and SWPickle into one module (`Fuzz/run`). A broken invariant
/// traps, and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzPickleDecoding(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  let limits = PickleLimits(depth: 40, memoEntries: 600, elements: 1500, memory: 1 << 20, repeatedParts: 2000)
  // Not by the initialiser, which has another way to read an array.
  guard let read = try? PickleValue.reading(bytes.span, limits: limits).value else {
    precondition((try? PickleValue(pickle: bytes, limits: limits)) == nil, "read in one way alone")
    return 0
  }
  let value = Message(pickle: bytes, value: read)
  for (strategy, isExact): (CodingDateStrategy, Bool) in [
    (.native, true), (.secondsSince1970, false), (.millisecondsSince1970, false), (.iso8601, false),
    (.deferredToDate, false),
  ] {
    var (encoder, decoder) = (PickleEncoder(), PickleDecoder())
    (encoder.dateStrategy, decoder.dateStrategy) = (strategy, strategy)
    decoder.limits = limits
    decode(Date.self, value, encoder, decoder, isExact: isExact)
    decode([Date].self, value, encoder, decoder, isExact: isExact)
  }
  let (encoder, decoder) = (PickleEncoder(), PickleDecoder())
  func each<T: Codable & Equatable>(_ type: T.Type) {
    decode(T.self, value, encoder, decoder)
    decode([T].self, value, encoder, decoder)
    decode([String: T].self, value, encoder, decoder)
    decode([T?].self, value, encoder, decoder)
  }
  each(Decimal.self)
  each(UUID.self)
  each(URL.self)
  each(Data.self)
  each([UInt8].self)
  each(Int.self)
  each(UInt8.self)
  each(Int128.self)
  each(UInt128.self)
  each(Double.self)
  each(Float.self)
  each(Bool.self)
  each(String.self)
  each([[Double]].self)
  each(PickleDateTime.self)
  each(NumPyArray.self)
  decode([Int: Int].self, value, encoder, decoder)
  decode([UUID: Decimal].self, value, encoder, decoder)
  decode([Date: Double].self, value, encoder, decoder)
  decode(Fields.self, value, encoder, decoder)
  decode([Fields].self, value, encoder, decoder)
  return 0
}

private struct Message {
  var pickle: [UInt8]
  var value: PickleValue
}

private struct Fields: Codable, Equatable {
  var a: Decimal?
  var b: Date?
  var x: Int?
  var y: Float?
}

private func decode<T: Codable & Equatable>(
  _ type: T.Type, _ value: Message, _ encoder: PickleEncoder, _ decoder: PickleDecoder, isExact: Bool = true
) {
  let decoded: T
  let direct = Result { try decoder.decode(type, from: value.pickle) }
  do {
    decoded = try decoder.decode(type, from: value.value)
  } catch {
    precondition(error is DecodingError, "\(error)")
    // Shared parts are counted in another way, so decoding may give up earlier or later.
    if case .failure(let other) = direct {
      precondition(
        isGivenUp(error) || isGivenUp(other) || shown(error) == shown(other), "\(error), and \(other)")
    } else {
      precondition(isGivenUp(error), "\(error), and a value")
    }
    return
  }
  switch direct {
  case .success(let direct):
    precondition(direct == decoded || direct != direct || decoded != decoded, "\(direct), and \(decoded)")
  case .failure(let error): precondition(isGivenUp(error), "a value, and \(error)")
  }
  var encoder = encoder
  encoder.sortsKeys = true
  let written: [UInt8]
  do {
    written = try encoder.encodeBytes(decoded)
  } catch {
    precondition(error is EncodingError, "\(error)")
    return
  }
  // The pickles are compared, because a nan equals nothing.
  do {
    let again = try encoder.encodeBytes(decoder.decode(type, from: written))
    precondition(!isExact || again == written, "another value")
  } catch {
    precondition(error is EncodingError || error is DecodingError, "\(error)")
  }
}

private func isGivenUp(_ error: any Error) -> Bool {
  guard case DecodingError.dataCorrupted(let context) = error else { return false }
  return context.debugDescription.contains("shared so often")
}

/// The text and the path of an error. Keys of elements have other types here and there.
private func shown(_ error: any Error) -> String {
  guard let error = error as? DecodingError else { return "\(error)" }
  let context =
    switch error {
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
      .dataCorrupted(let context):
      context
    @unknown default: DecodingError.Context(codingPath: [], debugDescription: "")
    }
  return "\(context.codingPath.map(\.stringValue)) \(context.debugDescription)"
}
