import Foundation
import SWPickle
import TestSupport
import Testing

/// NumPy's times, each of which has its own unit, and zones that are UTC under other names. Pickles of NumPy 2 and Python 3.13.
@Suite(.lastResort, .leavesNothing) struct PickleTimeUnitTests: PickleCases {
  /// `np.datetime64('NaT')`
  static let noTime =
    "80049580000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564"
    + "747970659493948c024d3894898887945294284b048c013c944e4e4e4affffffff4affffffff4b004e28430767656e65726963944b014b014b01"
    + "749486947494624308000000000000008094869452942e"
  /// `np.datetime64('NaT', 'ns')`
  static let noTimeInNanoseconds =
    "8004957b000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564"
    + "747970659493948c024d3894898887945294284b048c013c944e4e4e4affffffff4affffffff4b004e2843026e73944b014b014b017494869474"
    + "94624308000000000000008094869452942e"
  /// `np.timedelta64('NaT', 's')`
  static let noDifference =
    "8004957a000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564"
    + "747970659493948c026d3894898887945294284b048c013c944e4e4e4affffffff4affffffff4b004e28430173944b014b014b01749486947494"
    + "624308000000000000008094869452942e"
  /// `np.timedelta64(1500000000, 'ns')`
  static let nanoseconds =
    "8004957b000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564"
    + "747970659493948c026d3894898887945294284b048c013c944e4e4e4affffffff4affffffff4b004e2843026e73944b014b014b017494869474"
    + "94624308002f68590000000094869452942e"
  /// `np.timedelta64(1500000001, 'ns')`
  static let tooFine =
    "8004957b000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564"
    + "747970659493948c026d3894898887945294284b048c013c944e4e4e4affffffff4affffffff4b004e2843026e73944b014b014b017494869474"
    + "94624308012f68590000000094869452942e"
  /// `np.timedelta64(5, 's')`
  static let seconds =
    "8004957a000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564"
    + "747970659493948c026d3894898887945294284b048c013c944e4e4e4affffffff4affffffff4b004e28430173944b014b014b01749486947494"
    + "624308050000000000000094869452942e"
  /// `np.datetime64(1500000000, 'ns')`
  static let dateInNanoseconds =
    "8004957b000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564"
    + "747970659493948c024d3894898887945294284b048c013c944e4e4e4affffffff4affffffff4b004e2843026e73944b014b014b017494869474"
    + "94624308002f68590000000094869452942e"
  /// `np.array([1500000000], 'm8[ns]')`
  static let differences =
    "800495a2000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563749493948c056e756d"
    + "7079948c076e6461727261799493944b0085944301629487945294284b014b01859468038c0564747970659493948c026d389489888794529428"
    + "4b048c013c944e4e4e4affffffff4affffffff4b004e2843026e73944b014b014b0174948694749462894308002f685900000000947494622e"
  /// `np.array([1500000000], 'M8[ns]')`
  static let dates =
    "800495a2000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563749493948c056e756d"
    + "7079948c076e6461727261799493944b0085944301629487945294284b014b01859468038c0564747970659493948c024d389489888794529428"
    + "4b048c013c944e4e4e4affffffff4affffffff4b004e2843026e73944b014b014b0174948694749462894308002f685900000000947494622e"
  /// `np.timedelta64(5)`
  static let generic =
    "80049580000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564"
    + "747970659493948c026d3894898887945294284b048c013c944e4e4e4affffffff4affffffff4b004e28430767656e65726963944b014b014b01"
    + "749486947494624308050000000000000094869452942e"

  struct Row: Decodable, Equatable { var when: Date? }

  @Test(arguments: [noTime, noTimeInNanoseconds]) func `"not a time" is nil`(_ hex: String) throws {
    #expect(try decode(Date?.self, hex) == nil)
    let row: PickleValue = ["when": try value(hex)]
    #expect(try PickleDecoder().decode(Row.self, from: row) == Row(when: nil))
    #expect(try PickleDecoder().decode([Date?].self, from: .list([value(hex)])) == [nil])
    #expect(throws: DecodingError.self) { try decode(Date.self, hex) }
  }

  @Test func `a difference that is "not a time" is nil`() throws {
    #expect(try decode(PickleTimeDelta?.self, Self.noDifference) == nil)
  }

  @Test func `a difference in a finer unit is a timedelta if it is exact`() throws {
    let expected = PickleTimeDelta(days: 0, seconds: 1, microseconds: 500_000)
    #expect(try decode(PickleTimeDelta.self, Self.nanoseconds) == expected)
    #expect(try decode([PickleTimeDelta].self, Self.differences) == [expected])
    #expect(try decode(PickleTimeDelta.self, Self.seconds) == PickleTimeDelta(days: 0, seconds: 5))
    #expect(throws: DecodingError.self) { try decode(PickleTimeDelta.self, Self.tooFine) }
    let time = try decode(PickleDateTime.self, Self.dateInNanoseconds)
    #expect(time.microsecondsSince1970 == 1_500_000 && time.time.timeZone == nil)
    #expect(try decode([PickleDateTime].self, Self.dates) == [time])
    // The value itself keeps its unit.
    #expect(try value(Self.nanoseconds).array?.type.unit == NumPyType.Unit("ns"))
  }

  @Test(arguments: [nanoseconds, tooFine, dateInNanoseconds, seconds])
  func `a count of a unit is no number`(_ hex: String) throws {
    #expect(throws: DecodingError.self) { try decode(Int.self, hex) }
    #expect(throws: DecodingError.self) { try decode(Double.self, hex) }
  }

  @Test func `elements that count a unit are no numbers, and the array has the counts`() throws {
    #expect(throws: DecodingError.self) { try decode([Int].self, Self.differences) }
    #expect(throws: DecodingError.self) { try decode([Int].self, Self.dates) }
    #expect(try decode(NumPyArray.self, Self.dates).elements(as: Int.self) == [1_500_000_000])
    #expect(try decode(Date.self, Self.dateInNanoseconds) == Date(timeIntervalSince1970: 1.5))
    #expect(try decode([Date].self, Self.dates) == [Date(timeIntervalSince1970: 1.5)])
    // Without a unit it is a number.
    #expect(try decode(Int.self, Self.generic) == 5)
  }

  /// `datetime(2024, 5, 6, tzinfo=ZoneInfo('Etc/UTC'))`
  static let utc =
    "80049579000000000000008c086461746574696d65948c086461746574696d65949394430a07e80506000000000000948c086275696c74696e73"
    + "948c07676574617474729493948c087a6f6e65696e666f948c085a6f6e65496e666f9493948c095f756e7069636b6c6594869452948c07457463"
    + "2f555443944b0186945294869452942e"
  /// The same in `Etc/GMT`
  static let gmt =
    "80049579000000000000008c086461746574696d65948c086461746574696d65949394430a07e80506000000000000948c086275696c74696e73"
    + "948c07676574617474729493948c087a6f6e65696e666f948c085a6f6e65496e666f9493948c095f756e7069636b6c6594869452948c07457463"
    + "2f474d54944b0186945294869452942e"
  /// The same in pytz's `Etc/UTC`
  static let pytz =
    "80049546000000000000008c086461746574696d65948c086461746574696d65949394430a07e80506000000000000948c047079747a948c025f"
    + "709493948c074574632f5554439485945294869452942e"
  /// The same in `Europe/Berlin`
  static let berlin =
    "8004957f000000000000008c086461746574696d65948c086461746574696d65949394430a07e80506000000000000948c086275696c74696e73"
    + "948c07676574617474729493948c087a6f6e65696e666f948c085a6f6e65496e666f9493948c095f756e7069636b6c6594869452948c0d457572"
    + "6f70652f4265726c696e944b0186945294869452942e"

  @Test(arguments: [utc, gmt, pytz]) func `a zone that is UTC under another name has its offset`(
    _ hex: String
  ) throws {
    #expect(try decode(Date.self, hex) == Date(timeIntervalSince1970: 1_714_953_600))
    #expect(try decode(PickleDateTime.self, hex).time.timeZone?.offset?.microseconds == 0)
    #expect(try value(hex) == PickleValue(pickle: value(hex).pickled()))
  }

  @Test func `a zone whose offset depends on the date has none`() throws {
    #expect(try decode(PickleDateTime.self, Self.berlin).time.timeZone?.offset == nil)
    #expect(throws: DecodingError.self) { try decode(Date.self, Self.berlin) }
  }
}
