import SWPickle
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct PickleVectorTests {
  @Test(arguments: PickleVectors.golden.values)
  func `every protocol is read as Python reads it`(_ golden: PickleVectors.Value) throws {
    let expected = golden.value.value
    for (version, wire) in golden.pickles {
      let (value, byteCount) = try PickleValue.read(wire.bytes)
      #expect(byteCount == wire.bytes.count)
      // A nan equals nothing; the tagged form has its bits. The elements of a set have no order.
      if golden.setOrderUnspecified ?? false {
        #expect(value == expected, "protocol \(version)")
      } else if version >= "3" || golden.value.isWithoutSharedText {
        #expect(value.tagged == expected.tagged, "protocol \(version)")
      } else {
        #expect(value == expected, "protocol \(version)")
      }
    }
  }

  @Test(arguments: PickleVectors.golden.values)
  func `protocols 4 and 5 are written byte for byte as Python writes them`(
    _ golden: PickleVectors.Value
  ) throws {
    let value = golden.value.value
    let (four, five) = (try value.pickled(), try value.pickled(.five))
    if let golden = golden.pickles["4"] { #expect(four == golden.bytes) }
    if let golden = golden.pickles["5"] { #expect(five == golden.bytes) }
  }

  @Test(arguments: PickleVectors.golden.values)
  func `what was read is written as it was`(_ golden: PickleVectors.Value) throws {
    let wire = try #require(golden.pickles["4"]?.bytes)
    #expect(try PickleValue(pickle: wire).pickled() == wire)
  }

  /// The golden classes that are supported without registration.
  static let standard: Set = [
    "datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta", "datetime.timezone",
    "decimal.Decimal", "uuid.UUID", "builtins.complex", "collections.OrderedDict",
  ]

  @Test(arguments: PickleVectors.golden.needsClassLookup.filter { !standard.isSuperset(of: $0.globals) })
  func `a class that is not registered is an object, or refused by name by a strict registry`(
    _ golden: PickleVectors.NeedsLookup
  ) throws {
    for (version, wire) in golden.pickles {
      let value = try PickleValue(pickle: wire.bytes)
      #expect(try PickleValue(pickle: value.pickled()).tagged == value.tagged)
      let error = try #require(throws: PickleError.self) {
        try PickleValue(pickle: wire.bytes, registry: .strict)
      }
      guard case .notAllowed(let name) = error.kind else {
        Issue.record("another error: \(error)")
        continue
      }
      #expect("\(error)".contains("\(name)"))
      // Older protocols have other names for the same, those of Python 2.
      if version >= "3" { #expect(golden.globals.contains("\(name)")) }
    }
  }

  @Test(arguments: PickleVectors.golden.needsClassLookup.filter { standard.isSuperset(of: $0.globals) })
  func `a standard class is read, and written as it was`(_ golden: PickleVectors.NeedsLookup) throws {
    let wire = try #require(golden.pickles["4"]?.bytes)
    let value = try PickleValue(pickle: wire)
    #expect(try value.pickled() == wire)
    for (version, wire) in golden.pickles {
      #expect(try PickleValue(pickle: wire.bytes) == value, "protocol \(version)")
    }
  }

  @Test(arguments: PickleVectors.golden.decodeOnly)
  func `a handmade pickle is read as Python reads it`(_ golden: PickleVectors.Handmade) throws {
    let (value, byteCount) = try PickleValue.read(golden.wire.bytes)
    #expect(byteCount == golden.consumed ?? golden.wire.bytes.count)
    let expected = golden.value.value
    #expect(value == expected || value.tagged == expected.tagged)
  }

  @Test(arguments: PickleVectors.golden.python2)
  func `Python 2's pickles are read as Python 3 reads them`(_ golden: PickleVectors.Python2) throws {
    guard let expected = golden.value?.value else {
      #expect(throws: PickleError.self) { try PickleValue(pickle: golden.wire.bytes) }
      return
    }
    #expect(try PickleValue(pickle: golden.wire.bytes) == expected)
  }

  @Test(arguments: PickleVectors.golden.surrogates)
  func `a surrogate, which no String can hold, is a call that makes it, or refused by a strict registry`(
    _ golden: PickleVectors.Surrogate
  ) throws {
    for wire in golden.pickles.values {
      let error = try #require(throws: PickleError.self) {
        try PickleValue(pickle: wire.bytes, registry: .strict)
      }
      #expect(error.kind == .malformed)
      #expect(try PickleValue(pickle: wire.bytes).description.contains("builtins.str"))
    }
  }

  @Test(arguments: PickleVectors.golden.hostile)
  func `a hostile pickle is refused, or handled in bounds`(_ golden: PickleVectors.Hostile) throws {
    do {
      let value = try PickleValue(pickle: golden.wire.bytes, registry: .strict)
      #expect(golden.expect != "must be rejected")
      // Every accepted value can be walked through, compared, shown, written and dropped.
      #expect(value.description.utf8.count < 100_000)
      #expect(value == value || value.tagged.contains("nan"))
      #expect(try PickleValue(pickle: value.pickled()).tagged == value.tagged)
    } catch let error as PickleError {
      #expect(0...golden.wire.bytes.count ~= error.offset)
      #expect(!error.expected.isEmpty && !error.found.isEmpty)
    }
  }

  @Test(arguments: PickleVectors.golden.fuzz)
  func `a mutated pickle gives what it gives in Python`(_ golden: PickleVectors.Mutated) throws {
    guard let expected = golden.value?.value else {
      #expect(throws: PickleError.self) { try PickleValue(pickle: golden.wire.bytes, registry: .strict) }
      return
    }
    let (value, byteCount) = try PickleValue.read(golden.wire.bytes)
    #expect(value == expected || value.tagged == expected.tagged)
    #expect(byteCount == golden.consumed ?? golden.wire.bytes.count)
  }
}

// A span cannot pass through `#expect`, an array can.

extension PickleValue {
  static func read(_ bytes: [UInt8]) throws -> (value: PickleValue, byteCount: Int) {
    try reading(bytes.span)
  }
}
