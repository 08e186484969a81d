import SWJSON
import SWMsgPack
import SWPickle
import TestSupport
import Testing

/// The three types for values of any shape are read with the same names.
@Suite(.lastResort, .leavesNothing) struct ValueReadingTests {
  struct Reading: Equatable {
    var boolean: Bool?
    var integer: Int?
    var number: Double?
    var text: String?
    var elements: [Int?]?
  }

  static let readings: [(MsgPackValue, JSONValue, PickleValue, Reading)] = [
    (nil, nil, nil, Reading()),
    (false, false, false, Reading(boolean: false)),
    (-7, -7, -7, Reading(integer: -7, number: -7)),
    (0.5, 0.5, 0.5, Reading(number: 0.5)),
    ("7", "7", "7", Reading(text: "7")),
    ([1, "a"], [1, "a"], [1, "a"], Reading(elements: [1, nil])),
    (["a": 1], ["a": 1], ["a": 1], Reading()),
    (
      .uint(.max), .uint(.max), PickleValue("18446744073709551615" as PickleInt), Reading(number: 0x1p64)
    ),
  ]

  @Test(arguments: readings)
  func `each kind is read by its names, and by no other`(
    _ packed: MsgPackValue, _ json: JSONValue, _ pickle: PickleValue, _ expected: Reading
  ) {
    #expect(
      Reading(
        boolean: packed.boolean, integer: packed.integer, number: packed.number, text: packed.text,
        elements: packed.elements?.map(\.integer)) == expected)
    #expect(
      Reading(
        boolean: json.boolean, integer: json.integer, number: json.number, text: json.text,
        elements: json.elements?.map(\.integer)) == expected)
    #expect(
      Reading(
        boolean: pickle.boolean, integer: pickle.integer, number: pickle.number, text: pickle.text,
        elements: pickle.elements?.map(\.integer)) == expected)
  }

  @Test func `a float of MessagePack is a number`() {
    #expect(MsgPackValue.float(1.5).number == 1.5 && MsgPackValue.float(1.5).integer == nil)
  }

  @Test func `an int of any size is read from a pickle`() {
    let large: PickleInt = "18446744073709551616"
    #expect(PickleValue(large).bigInteger == large && PickleValue(large).integer == nil)
  }
}
