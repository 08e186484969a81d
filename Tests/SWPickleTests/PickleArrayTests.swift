import SWPickle
import TestSupport
import Testing

/// Pickles that are one NumPy array. They are read by comparing them with the form that NumPy writes.
@Suite(.lastResort, .leavesNothing) struct PickleArrayTests: PickleCases {
  /// Arrays as NumPy 2.4 pickles them: of two dimensions in both orders, of none, without elements, and of each kind of
  /// number; in protocols 4 and 5.
  static let pickles = [
    "80049597000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b024b03869468038c0564747970659493948c02753294898887945294284b038c013e944e4e4e4affffffff4affffffff4b0074946289430c000000010002000300040005947494622e",
    "8004958e000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b012968038c0564747970659493948c02663894898887945294284b038c013c944e4e4e4affffffff4affffffff4b00749462894308000000000000f83f947494622e",
    "80049592000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b01284b014b014b014b01749468038c0564747970659493948c02663294898887945294284b038c013c944e4e4e4affffffff4affffffff4b00749462894302003c947494622e",
    "800595a6000000000000008c136e756d70792e5f636f72652e6e756d65726963948c0b5f66726f6d6275666665729493942896300000000000000000000000000000000000000000000840000000000000f03f000000000000104000000000000000400000000000001440948c056e756d7079948c0564747970659493948c02663894898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624b024b0386948c014694749452942e",
    "80059576000000000000008c136e756d70792e5f636f72652e6e756d65726963948c0b5f66726f6d62756666657294939428960000000000000000948c056e756d7079948c0564747970659493948c02663494898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624b004b0386948c014394749452942e",
    "80059585000000000000008c136e756d70792e5f636f72652e6e756d65726963948c0b5f66726f6d62756666657294939428961000000000000000000000000000f03f0000000000000040948c056e756d7079948c0564747970659493948c0363313694898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624b0185948c014394749452942e",
  ]

  @Test func `arrays alone have their shape, type, order and elements`() throws {
    let arrays = try Self.pickles.map { try #require(try value($0).array) }
    #expect(arrays.map(\.shape) == [[2, 3], [], [1, 1, 1, 1], [2, 3], [0, 3], [1]])
    #expect(arrays.map { "\($0.type)" } == [">u2", "<f8", "<f2", "<f8", "<f4", "<c16"])
    #expect(arrays.map { $0.order == .columnMajor } == [false, false, false, true, false, false])
    #expect(try decode([[Int]].self, Self.pickles[0]) == [[0, 1, 2], [3, 4, 5]])
    #expect(try decode(Double.self, Self.pickles[1]) == 1.5)
    #expect(try decode([[Int]].self, Self.pickles[3]) == [[0, 1, 2], [3, 4, 5]])
    #expect(try decode([[Double]].self, Self.pickles[4]) == [])
    let written = try PickleValue(NumPyArray([1.5, 2.5])).pickled()
    #expect(try PickleValue(pickle: written).array == NumPyArray([1.5, 2.5]))
  }

  /// The value that a reader makes of a pickle, or the text of its error.
  private func result(_ read: () throws -> PickleValue) -> String {
    do {
      let value = try read()
      return "\(value) \(value.array?.bytes ?? []) \(value.array?.order == .columnMajor)"
    } catch { return "\(error)" }
  }

  /// `reading` reads every pickle opcode by opcode, so both ways are compared.
  @Test(arguments: pickles) func `an array that is changed anywhere is read as by opcodes`(_ hex: String) {
    let pickle = bytes(hex)
    func compare(_ changed: [UInt8]) {
      let expected = result { try PickleValue.reading(changed.span).value }
      #expect(result { try PickleValue(pickle: changed) } == expected)
    }
    compare(pickle)
    for place in pickle.indices {
      for byte in [pickle[place] &+ 1, pickle[place] ^ 0x80, 0x94] {
        var changed = pickle
        changed[place] = byte
        compare(changed)
      }
      compare(Array(pickle[..<place] + pickle[(place + 1)...]))
      compare(Array(pickle[..<place]))
    }
  }

  @Test func `an array is read by the registry and within the limits that are asked for`() throws {
    let pickle = bytes(Self.pickles[0])
    #expect(try PickleValue(pickle: pickle, registry: .strict).array != nil)
    #expect(throws: PickleError.self) { try PickleValue(pickle: pickle, registry: .empty) }
    var registry = PickleRegistry.standard
    registry.register("numpy.core.multiarray", "_reconstruct") { _ in "mine" }
    #expect(try PickleValue(pickle: pickle, registry: registry) == "mine")
    registry = .standard
    registry.remove("numpy", "dtype")
    #expect(try PickleValue(pickle: pickle, registry: registry).array == nil)
    for limits in [PickleLimits(depth: 1), PickleLimits(memoEntries: 3), PickleLimits(memory: 100)] {
      #expect(throws: PickleError.self) { try PickleValue(pickle: pickle, limits: limits) }
    }
  }
}
