import Testing

/// `Vectors/pickle.json`, written by CPython 3.13 and 2.7.
struct PickleVectors: Decodable, Sendable {
  static let golden: PickleVectors = vectors("pickle")

  struct Value: Decodable, Sendable, CustomTestStringConvertible {
    var name: String
    var value: TaggedValue
    var pickles: [String: Wire]
    var setOrderUnspecified: Bool?
    var testDescription: String { name }
  }
  struct NeedsLookup: Decodable, Sendable, CustomTestStringConvertible {
    var name: String
    var globals: [String]
    var pickles: [String: Wire]
    var testDescription: String { name }
  }
  struct Handmade: Decodable, Sendable, CustomTestStringConvertible {
    var wire: Wire
    var value: TaggedValue
    var consumed: Int?
    var testDescription: String { "\(wire.bytes)" }
  }
  struct Python2: Decodable, Sendable, CustomTestStringConvertible {
    var name: String
    var `protocol`: Int
    var wire: Wire
    var value: TaggedValue?
    var testDescription: String { "\(name), protocol \(`protocol`)" }
  }
  struct Surrogate: Decodable, Sendable {
    var pickles: [String: Wire]
  }
  struct Hostile: Decodable, Sendable, CustomTestStringConvertible {
    var why: String
    var wire: Wire
    var expect: String
    var testDescription: String { why }
  }
  struct Mutated: Decodable, Sendable, CustomTestStringConvertible {
    var wire: Wire
    var value: TaggedValue?
    var consumed: Int?
    var testDescription: String { "\(wire.bytes)" }
  }

  var values: [Value]
  var needsClassLookup: [NeedsLookup]
  var decodeOnly: [Handmade]
  var python2: [Python2]
  var surrogates: [Surrogate]
  var hostile: [Hostile]
  var fuzz: [Mutated]
}
