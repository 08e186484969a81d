import Foundation
import SWPickle
import TestSupport
import Testing

/// Objects of subclasses of dict and list, and of classes without attributes, as Python 3.13 pickles them.
@Suite(.lastResort, .leavesNothing) struct PickleSubclassTests: PickleCases {
  // class MyDict(dict), class MyList(list), class Plain, @dataclass class Empty, all of the module "app". Protocols 0, 2 and 4.

  /// MyDict(a=1, b='x')
  static let dict = [
    "63636f70795f7265670a5f7265636f6e7374727563746f720a70300a28636170700a4d79446963740a70310a635f5f6275696c74696e5f5f0a646963740a70320a286470330a56610a70340a49310a7356620a70350a56780a70360a737470370a5270380a2e",
    "8002636170700a4d79446963740a7100298171012858010000006171024b0158010000006271035801000000787104752e",
    "80049525000000000000008c03617070948c064d7944696374949394298194288c0161944b018c0162948c017894752e",
  ]
  static let emptyDict = [
    "63636f70795f7265670a5f7265636f6e7374727563746f720a70300a28636170700a4d79446963740a70310a635f5f6275696c74696e5f5f0a646963740a70320a286470330a7470340a5270350a2e",
    "8002636170700a4d79446963740a7100298171012e",
    "80049515000000000000008c03617070948c064d79446963749493942981942e",
  ]
  static let list = [
    "63636f70795f7265670a5f7265636f6e7374727563746f720a70300a28636170700a4d794c6973740a70310a635f5f6275696c74696e5f5f0a6c6973740a70320a286c70330a49310a6149320a617470340a5270350a2e",
    "8002636170700a4d794c6973740a710029817101284b014b02652e",
    "8004951b000000000000008c03617070948c064d794c697374949394298194284b014b02652e",
  ]
  static let emptyList = [
    "63636f70795f7265670a5f7265636f6e7374727563746f720a70300a28636170700a4d794c6973740a70310a635f5f6275696c74696e5f5f0a6c6973740a70320a286c70330a7470340a5270350a2e",
    "8002636170700a4d794c6973740a7100298171012e",
    "80049515000000000000008c03617070948c064d794c6973749493942981942e",
  ]
  static let empty = [
    "63636f70795f7265670a5f7265636f6e7374727563746f720a70300a28636170700a506c61696e0a70310a635f5f6275696c74696e5f5f0a6f626a6563740a70320a4e7470330a5270340a2e",
    "8002636170700a506c61696e0a7100298171012e",
    "80049514000000000000008c03617070948c05506c61696e9493942981942e",
    "63636f70795f7265670a5f7265636f6e7374727563746f720a70300a28636170700a456d7074790a70310a635f5f6275696c74696e5f5f0a6f626a6563740a70320a4e7470330a5270340a2e",
    "8002636170700a456d7074790a7100298171012e",
    "80049514000000000000008c03617070948c05456d7074799493942981942e",
  ]

  struct Options: Decodable, Equatable { var a: Int?, b: String? }

  @Test(arguments: dict) func `a subclass of dict is a dictionary, and no sequence`(_ hex: String) throws {
    #expect(try decode(Options.self, hex) == Options(a: 1, b: "x"))
    #expect(try decode([String: PickleValue].self, hex) == ["a": 1, "b": "x"])
    #expect(throws: DecodingError.self) { try decode([Int].self, hex) }
    #expect(throws: DecodingError.self) { try decode([[String: String]].self, hex) }
  }

  @Test(arguments: list) func `a subclass of list is a sequence, and no dictionary`(_ hex: String) throws {
    #expect(try decode([Int].self, hex) == [1, 2])
    #expect(throws: DecodingError.self) { try decode([String: Int].self, hex) }
    #expect(throws: DecodingError.self) { try decode(Options.self, hex) }
  }

  @Test(arguments: emptyDict + emptyList + empty)
  func `an object without anything is an empty dictionary, and a struct without values`(_ hex: String) throws
  {
    #expect(try decode([String: Int].self, hex) == [:])
    #expect(try decode(Options.self, hex) == Options())
    #expect(try decode([Int].self, hex) == [])
    let explanation = try explanation(Required.self, hex)
    #expect(explanation.contains("a"), "\(explanation)")
  }

  struct Required: Decodable { var a: Int }

  @Test func `the result of a call without arguments is not taken for an empty object`() throws {
    let call = PickleValue.object(PickleName("app", "make"), [])
    #expect(throws: DecodingError.self) { try PickleDecoder().decode([String: Int].self, from: call) }
    #expect(throws: DecodingError.self) { try PickleDecoder().decode(Options.self, from: call) }
  }
}
