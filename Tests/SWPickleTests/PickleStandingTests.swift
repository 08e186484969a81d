import Foundation
import SWJSON
import SWPickle
import TestSupport
import Testing

/// Objects that stand for a value of Python's although their class is another one, as Python 3.13 pickles them.
@Suite(.lastResort, .leavesNothing) struct PickleStandingTests: PickleCases {
  // freezegun 1.5: FakeDatetime(2024, 1, 2, 3, 4, 5), the same in UTC in protocol 2, and FakeDate(2024, 1, 2).
  static let fakeDateTime =
    "80049533000000000000008c0d667265657a6567756e2e617069948c0c46616b654461746574696d65949394430a07e8010203040500000094859452942e"
  static let fakeInUTC =
    "800263667265657a6567756e2e6170690a46616b654461746574696d650a7100635f636f646563730a656e636f64650a7101580b00000007c3a80102030405000000710258060000006c6174696e317103867104527105636461746574696d650a74696d657a6f6e650a7106636461746574696d650a74696d6564656c74610a71074b004b004b0087710852710985710a52710b86710c52710d2e"
  static let fakeDate =
    "80049529000000000000008c0d667265657a6567756e2e617069948c0846616b6544617465949394430407e8010294859452942e"
  // pendulum 3: datetime(2024, 1, 2, 3, 4, 5, 6), the same day in Berlin, at one hour from UTC, and naive; date(2024, 1, 2),
  // time(3, 4, 5), duration(days=1, seconds=2).
  static let pendulumInUTC =
    "8004958d000000000000008c1170656e64756c756d2e6461746574696d65948c084461746554696d65949394284de8074b014b024b034b044b054b068c086275696c74696e73948c07676574617474729493948c1470656e64756c756d2e747a2e74696d657a6f6e65948c0854696d657a6f6e659493948c095f756e7069636b6c6594869452948c03555443944b0186945294749452942e"
  static let pendulumInBerlin =
    "80049597000000000000008c1170656e64756c756d2e6461746574696d65948c084461746554696d65949394284de8074b014b024b004b004b004b008c086275696c74696e73948c07676574617474729493948c1470656e64756c756d2e747a2e74696d657a6f6e65948c0854696d657a6f6e659493948c095f756e7069636b6c6594869452948c0d4575726f70652f4265726c696e944b0186945294749452942e"
  static let pendulumAtOffset =
    "800495bc000000000000008c1170656e64756c756d2e6461746574696d65948c084461746554696d65949394284de8074b014b024b004b004b004b008c1470656e64756c756d2e747a2e74696d657a6f6e65948c0d466978656454696d657a6f6e659493944d100e8c062b30313a303094869452947d94288c055f6e616d659468068c075f6f6666736574944d100e8c0a5f7574636f6666736574948c086461746574696d65948c0974696d6564656c74619493944b004d100e4b00879452947562749452942e"
  static let pendulumNaive =
    "80049537000000000000008c1170656e64756c756d2e6461746574696d65948c084461746554696d65949394284de8074b014b024b034b044b054b004e749452942e"
  static let pendulumDate =
    "80049525000000000000008c0d70656e64756c756d2e64617465948c0444617465949394430407e8010294859452942e"
  static let pendulumTime =
    "80049528000000000000008c0d70656e64756c756d2e74696d65948c0454696d65949394284b034b044b054b004e749452942e"
  static let pendulumDuration =
    "8004952c000000000000008c1170656e64756c756d2e6475726174696f6e948c084475726174696f6e9493944b014b024b00879452942e"
  // pandas: Timestamp("2024-01-02 03:04:05.123456789"), Timestamp("2024-01-02", tz="Europe/Berlin"), Timedelta(5), NaT, NA.
  static let timestamp =
    "8004954d000000000000008c1e70616e6461732e5f6c6962732e74736c6962732e74696d657374616d7073948c135f756e7069636b6c655f74696d657374616d70949394288a0815ff5c37b768a6174e4e4b0a749452942e"
  static let timestampInBerlin =
    "800495a0000000000000008c1e70616e6461732e5f6c6962732e74736c6962732e74696d657374616d7073948c135f756e7069636b6c655f74696d657374616d70949394288a0700dc6457ea0d064e8c086275696c74696e73948c07676574617474729493948c087a6f6e65696e666f948c085a6f6e65496e666f9493948c095f756e7069636b6c6594869452948c0d4575726f70652f4265726c696e944b01869452944b09749452942e"
  static let timedelta =
    "80049542000000000000008c1e70616e6461732e5f6c6962732e74736c6962732e74696d6564656c746173948c135f74696d6564656c74615f756e7069636b6c659493944b054b0a869452942e"
  static let notATime =
    "80049536000000000000008c1b70616e6461732e5f6c6962732e74736c6962732e6e617474797065948c0d5f6e61745f756e7069636b6c659493944e859452942e"
  static let notAvailable = "80049511000000000000008c0670616e646173948c024e419493942e"

  /// 2024-01-02 03:04:05 UTC
  private static let instant = 1_704_164_645.0

  private struct Wrapped: Decodable { var value: Int }

  @Test(arguments: [
    fakeDateTime, fakeInUTC, fakeDate, pendulumInUTC, pendulumInBerlin, pendulumAtOffset, pendulumNaive,
    pendulumDate, pendulumTime, pendulumDuration, timestamp, timestampInBerlin, timedelta,
  ])
  func `a time of another class is neither bytes, nor a number, nor a sequence`(_ hex: String) throws {
    #expect(throws: DecodingError.self) { try decode(Data.self, hex) }
    #expect(throws: DecodingError.self) { try decode([UInt8].self, hex) }
    #expect(throws: DecodingError.self) { try decode([Int].self, hex) }
    #expect(throws: DecodingError.self) { try decode([JSONValue].self, hex) }
    #expect(throws: DecodingError.self) { try decode(Int.self, hex) }
    #expect(throws: DecodingError.self) { try decode(Double.self, hex) }
    #expect(throws: DecodingError.self) { try decode(JSONValue.self, hex) }
    #expect(throws: DecodingError.self) { try decode(Wrapped.self, hex) }
    #expect(try explanation(JSONValue.self, hex).hasPrefix("expected a JSON value, found a "))
    // It is sent back as it came.
    let found = try value(hex)
    #expect(try PickleValue(pickle: found.pickled()) == found)
  }

  @Test func `an object of a subclass of datetime is a datetime`() throws {
    let date = try #require(PickleDate(year: 2024, month: 1, day: 2))
    let naive = try #require(PickleTime(hour: 3, minute: 4, second: 5))
    for hex in [Self.fakeDateTime, Self.pendulumNaive] {
      #expect(try decode(PickleDateTime.self, hex) == PickleDateTime(date: date, time: naive))
      #expect(try decode(Date.self, hex) == Date(timeIntervalSince1970: Self.instant))
    }
    #expect(try decode(Date.self, Self.fakeInUTC) == Date(timeIntervalSince1970: Self.instant))
    let exact = try decode(PickleDateTime.self, Self.pendulumInUTC)
    #expect(exact.microsecondsSince1970 == 1_704_164_645_000_006)
    #expect(exact.time.timeZone == PickleTimeZone(offset: .zero, name: "UTC"))
    #expect(try decode(Date.self, Self.pendulumAtOffset) == Date(timeIntervalSince1970: 1_704_150_000))
    let berlin = try decode(PickleDateTime.self, Self.pendulumInBerlin)
    #expect(berlin.time.timeZone == PickleTimeZone(identifier: "Europe/Berlin"))
    #expect(try explanation(Date.self, Self.pendulumInBerlin).contains("Europe/Berlin"))
    for hex in [Self.fakeDate, Self.pendulumDate] {
      #expect(try decode(PickleDate.self, hex) == date)
      #expect(try decode(Date.self, hex) == Date(timeIntervalSince1970: 1_704_153_600))
    }
    #expect(try decode(PickleTime.self, Self.pendulumTime) == naive)
    #expect(
      try decode(PickleTimeDelta.self, Self.pendulumDuration) == PickleTimeDelta(days: 1, seconds: 2))
  }

  @Test func `bytes that are no date of the calendar stay the argument that they are`() throws {
    let four: [UInt8] = [0xff, 0xff, 1, 2]
    let name = PickleName("m", "Token")
    let call = try PickleValue.object(name, [.bytes(four)]).pickled()
    #expect(try PickleDecoder().decode([UInt8].self, from: call) == four)
    // Nor are bytes a date because they could be one: the class has another name.
    for chance in [[7, 0xe8, 1, 2], [3, 4, 5, 0, 0, 6], [7, 0xe8, 1, 2, 3, 4, 5, 0, 0, 6]] as [[UInt8]] {
      let token = try PickleValue.object(name, [.bytes(chance)]).pickled()
      #expect(try PickleDecoder().decode(Data.self, from: token) == Data(chance))
      #expect(try PickleDecoder().decode([UInt8].self, from: token) == chance)
    }
    // A subclass of bytes is made by its `__new__`.
    let date: [UInt8] = [7, 0xe8, 1, 2]
    let subclass = try PickleValue.object(name, [.bytes(date)], isNew: true).pickled()
    #expect(try PickleDecoder().decode(Data.self, from: subclass) == Data(date))
  }

  @Test func `pandas' NA is nil, as its NaT is`() throws {
    for hex in [Self.notATime, Self.notAvailable] {
      #expect(try decode(Int?.self, hex) == nil)
      #expect(try decode(JSONValue.self, hex) == .null)
      #expect(throws: DecodingError.self) { try decode(Int.self, hex) }
    }
  }

  @Test func `a zone of a rule is written as the class that reads rules`() throws {
    let rule = "EST5EDT,M3.2.0,M11.1.0"
    let date = try #require(PickleDate(year: 2024, month: 1, day: 2))
    let time = try #require(PickleTime(hour: 3, minute: 4, timeZone: PickleTimeZone(identifier: rule)))
    let bytes = try PickleEncoder().encodeBytes(PickleDateTime(date: date, time: time))
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(text.contains("tzstr") && text.contains("dateutil.tz.tz") && !text.contains("zoneinfo"))
    let read = try PickleDecoder().decode(PickleDateTime.self, from: bytes)
    #expect(read.time.timeZone == PickleTimeZone(identifier: rule))
  }

  // MARK: pydantic

  // class Table(RootModel[dict[str, int]]), Table({"x": 1, "y": 2}); class Wrapper(RootModel[User]) of a model with the same
  // fields; a RootModel of Table.
  static let rootDict =
    "8004955e000000000000008c066d6f64656c73948c0252449493942981947d94288c085f5f646963745f5f947d948c04726f6f74947d94288c0178944b018c0179944b0275738c175f5f707964616e7469635f6669656c64735f7365745f5f948f942868079075622e"
  static let rootModel =
    "800495ab000000000000008c066d6f64656c73948c02524d9493942981947d94288c085f5f646963745f5f947d948c04726f6f749468008c04557365729493942981947d942868057d94288c0178944b018c0179944b02758c125f5f707964616e7469635f65787472615f5f944e8c175f5f707964616e7469635f6669656c64735f7365745f5f948f9428680d680e908c145f5f707964616e7469635f707269766174655f5f944e75627368108f942868079075622e"
  static let rootOfRoot =
    "8004957e000000000000008c066d6f64656c73948c0252529493942981947d94288c085f5f646963745f5f947d948c04726f6f749468008c0252449493942981947d942868057d9468077d94288c0178944b018c0179944b0275738c175f5f707964616e7469635f6669656c64735f7365745f5f948f942868079075627368108f942868079075622e"

  private struct Point: Codable, Equatable { var x: Int, y: Int }
  private struct Optionals: Decodable, Equatable { var x: Int?, y: Int? }
  private struct Root<Value: Decodable>: Decodable { var root: Value }

  @Test(arguments: [rootDict, rootModel, rootOfRoot])
  func `a root model decodes as its root, also if that is a dict or a model`(_ hex: String) throws {
    #expect(try decode(Point.self, hex) == Point(x: 1, y: 2))
    #expect(try decode(Optionals.self, hex) == Optionals(x: 1, y: 2))
    #expect(try decode([String: Int].self, hex) == ["x": 1, "y": 2])
    #expect(try decode(JSONValue.self, hex) == ["x": 1, "y": 2])
    #expect(try decode(Root<Point>.self, hex).root == Point(x: 1, y: 2))
    #expect(throws: DecodingError.self) { try decode([Int].self, hex) }
  }

  @Test func `a root model that contains itself has no keys, and ends`() throws {
    var builder = PickleBuilder()
    let model = builder.placeholder()
    let inner = builder.dict([(builder.string("root"), model)])
    let (own, fields) = (builder.string("__dict__"), builder.string("__pydantic_fields_set__"))
    let state = builder.dict([(own, inner), (fields, builder.add(.none))])
    builder.define(
      model, as: builder.object(calling: builder.add(.name(PickleName("m", "R"))), isNew: true, state: state))
    let pickle = try builder.value(model).pickled()
    let decoder = PickleDecoder()
    #expect(try decoder.decode(Optionals.self, from: pickle) == Optionals())
    #expect(throws: DecodingError.self) { try decoder.decode([String: Int].self, from: pickle) }
    #expect(throws: DecodingError.self) { try decoder.decode(JSONValue.self, from: pickle) }
    #expect(throws: DecodingError.self) { try decoder.decode(Int.self, from: pickle) }
  }

  // MARK: Classes

  // class Own: def __new__(cls, x, y), Own(1, 2) in protocol 0.
  @Test func `an object that Python makes without its class is written so, too`() throws {
    let hex =
      "63636f70795f7265670a5f7265636f6e7374727563746f720a70300a28636d6f64656c730a4f776e0a70310a635f5f6275696c74696e5f5f0a6f626a6563740a70320a4e7470330a5270340a286470350a56780a70360a49310a7356790a70370a49320a73622e"
    let found = try value(hex)
    let written = try found.pickled()
    #expect(String(decoding: written, as: UTF8.self).contains("_reconstructor"))
    #expect(try PickleValue(pickle: written) == found)
    #expect(try decode(Point.self, hex) == Point(x: 1, y: 2))
    #expect(found.object?.base == nil && found.object?.arguments.isEmpty == true)
  }
}
