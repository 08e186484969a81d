/// The invariant: whatever bytes come, the reader refuses them with a typed error inside them, or gives a value that is
/// written, read again and written again to the same bytes, within the limits and without a second look.
///
/// Built together with the sources of SWFraming into one module (`Fuzz/run`). A broken invariant traps,
/// and libFuzzer writes down the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzPickle(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
  // Small enough that the fuzzer meets each of them.
  let limits = PickleLimits(depth: 40, memoEntries: 600, elements: 1500, memory: 1 << 20)
  var registry = PickleRegistry.standard
  registry.register("m", "C")
  registry.register("m", "R") { object in .tuple([object.arguments.first ?? .none, object.state ?? .none]) }

  var reader = PickleReader(registry: registry, limits: limits)
  let value: PickleValue
  do {
    let byteCount: Int
    (value, byteCount) = try reader.read(bytes.span)
    precondition(
      byteCount <= bytes.count && bytes[byteCount - 1] == PickleOpcode.stop.rawValue, "ends elsewhere")
    // What follows STOP does not matter, and what precedes it does.
    precondition((try? PickleValue(pickle: Array(bytes[..<(byteCount - 1)]), registry: registry)) == nil)
  } catch {
    guard let error = error as? PickleError else { preconditionFailure("\(error)") }
    precondition(0...bytes.count ~= error.offset && error.description.utf8.count < 2000, "\(error)")
    return 0
  }

  precondition(value.description.utf8.count < 300_000, "not bounded")
  _ = value.hashValue
  do {
    _ = try PickleDecoder().decode(Everything.self, from: value)
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
    // A reader makes of an object what need not be one: nobody registered it makes another of that.
    guard let again = try? PickleValue(pickle: written, registry: registry) else {
      preconditionFailure("cannot be read again")
    }
    guard let rewritten = try? again.pickled(version) else { preconditionFailure("cannot be written again") }
    if !bytes.contains(UInt8(ascii: "R")) || !registry.isUsed(by: bytes) {
      precondition(written == rewritten, "written otherwise")
    }
  }
  return 0
}

extension PickleRegistry {
  /// Whether bytes may name the class whose reader makes something else of it.
  fileprivate func isUsed(by bytes: [UInt8]) -> Bool { bytes.contains(UInt8(ascii: "m")) }
}

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
