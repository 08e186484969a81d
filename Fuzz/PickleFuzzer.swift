/// The invariant: whatever bytes come, the reader refuses them with a typed error inside them, or gives a value that is
/// written, read again and written again to the same bytes, within the limits and without a second look.
///
/// Built together with the sources of SWFraming, SWCoding and SWPickle into one module (`Fuzz/run`). A broken invariant traps,
/// and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzPickle(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  check(bytes, .standard, isReproducible: true)
  var registry = PickleRegistry.strict.registering("m", "C")
  check(bytes, registry, isReproducible: true)
  // The result of an object's reader need not be such an object again.
  registry.register("m", "C") { object in
    switch object.arguments.count {
    case 0: object.state ?? .none
    case 1: object.arguments[0]
    default: .tuple([object.arguments[1], object.state ?? .none, .list(object.appended)])
    }
  }
  check(bytes, registry, isReproducible: false)
  return 0
}

/// Small enough that the fuzzer meets each of them.
private let limits = PickleLimits(depth: 40, memoEntries: 600, elements: 1500, memory: 1 << 20)

/// `Everything` tries up to four types for each value, on each level: lists in themselves are given up early.
private let decoder = {
  var decoder = PickleDecoder()
  decoder.maximumDepth = 40
  decoder.limits.repeatedParts = 2000
  return decoder
}()

private func check(_ bytes: [UInt8], _ registry: PickleRegistry, isReproducible: Bool) {
  var reader = PickleReader(registry: registry, limits: limits)
  let value: PickleValue
  do {
    let byteCount: Int
    (value, byteCount) = try reader.read(bytes.span)
    precondition(
      byteCount <= bytes.count && bytes[byteCount - 1] == PickleOpcode.stop.rawValue, "ends elsewhere")
    precondition(
      (try? PickleValue(pickle: Array(bytes[..<(byteCount - 1)]), registry: registry)) == nil, "no STOP")
  } catch {
    guard let error = error as? PickleError else { preconditionFailure("\(error)") }
    precondition(0...bytes.count ~= error.offset && error.description.utf8.count < 2000, "\(error)")
    return
  }

  precondition(value.description.utf8.count < 300_000, "not bounded")
  _ = value.hashValue
  do {
    _ = try decoder.decode(Everything.self, from: value)
  } catch {
    precondition(error is DecodingError, "\(error)")
  }
  for version in [PickleProtocol.four, .five] {
    let written: [UInt8]
    do throws(PickleError) {
      written = try value.pickled(version)
    } catch {
      precondition(error.kind == .unrepresentable, "\(error)")
      continue
    }
    guard let again = try? PickleValue(pickle: written, registry: registry) else {
      preconditionFailure("cannot be read again")
    }
    guard let rewritten = try? again.pickled(version) else { preconditionFailure("cannot be written again") }
    precondition(!isReproducible || written == rewritten, "written otherwise")
    precondition(
      !isReproducible || hasNaN(written) || mayHoldObjects(written) || again == value, "another value")
  }
}

/// Whether a nan may be in it, which equals nothing.
private func hasNaN(_ pickle: [UInt8]) -> Bool { pickle.contains(0x7f) || pickle.contains(0xff) }

/// Whether an object may be in it: as a key it equals itself alone, as in Python.
private func mayHoldObjects(_ pickle: [UInt8]) -> Bool { pickle.contains(0x81) || pickle.contains(0x52) }

/// Decodes whatever there is, in every way.
private indirect enum Everything: Decodable {
  case text(String)
  case number(Double)
  case list([Everything])
  case keyed([String: Everything])
  case other

  init(from decoder: any Decoder) throws {
    let single = try decoder.singleValueContainer()
    if let text = try? single.decode(String.self) {
      self = .text(text)
    } else if let number = try? single.decode(Double.self) {
      self = .number(number)
    } else if let container = try? decoder.unkeyedContainer() {
      var container = container
      var list: [Everything] = []
      while !container.isAtEnd { list.append(try container.decode(Everything.self)) }
      self = .list(list)
    } else if let keyed = try? single.decode([String: Everything].self) {
      self = .keyed(keyed)
    } else {
      self = .other
    }
  }
}
