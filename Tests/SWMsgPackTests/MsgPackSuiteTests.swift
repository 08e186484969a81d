import Foundation
import MsgPackOracle
import SWFraming
import SWMsgPack
import SWTesting
import TestSupport
import Testing

/// Every value and every encoding of the suite, through decoder, encoder, `MsgPackValue` and framing.
@Suite(.lastResort, .leavesNothing) struct MsgPackSuiteTests {
  /// All encodings, each with what it means.
  static let all = Suite.entries.flatMap { entry in entry.forms.map { (hexBytes($0), entry.meaning) } }

  @Test func `the table is whole`() {
    #expect(Suite.entries.count == 85)
    #expect(Self.all.count == 233)
    #expect(Set(Self.all.map(\.0)).count == 233)
  }

  @Test func `every encoding reads as its value`() throws {
    for (bytes, meaning) in Self.all {
      let value = try MsgPackValue(bytes)
      let isRight = meaning.fits(value)
      #expect(isRight, "\(hexDigits(bytes)) reads as \(value)")
      #expect(try MsgPackDecoder().decode(MsgPackValue.self, from: bytes) == value)
      #expect(try MsgPackValueFraming.msgPackValues.decode(filling: bytes.span) == value)
    }
  }

  @Test func `every encoding decodes as the type that it stands for`() throws {
    for (bytes, meaning) in Self.all { try meaning.checkDecoding(bytes) }
  }

  @Test func `what is written is the shortest of the listed encodings`() throws {
    for entry in Suite.entries {
      let forms = entry.forms.map(hexBytes)
      let shortest = forms.filter { entry.meaning.isOfItsKind($0) }.map(\.count).min()
      for written in try entry.meaning.encodings() {
        #expect(forms.contains(written), "\(hexDigits(written)) is none of \(entry.forms)")
        #expect(written.count == shortest, "\(hexDigits(written))")
      }
    }
  }

  @Test func `every prefix of every encoding asks for more, and never for too much`() throws {
    for (bytes, meaning) in Self.all {
      var one = MsgPackValueFraming.msgPackValues.makeScanner()
      for count in 0..<bytes.count {
        let prefix = bytes.span.extracting(first: count)
        var fresh = MsgPackValueFraming.msgPackValues.makeScanner()
        for demand in [try one.demand(in: prefix), try fresh.demand(in: prefix)] {
          #expect(!demand.isFinal && demand.byteCount <= bytes.count)
        }
        // A fresh one is asked again, as long as there are bytes: its demands end behind them too.
        var demand = try fresh.demand(in: prefix)
        while demand.byteCount <= count {
          let next = try fresh.demand(in: prefix)
          #expect(!next.isFinal && next.byteCount > demand.byteCount && next.byteCount <= bytes.count)
          demand = next
        }
        let error = #expect(throws: MsgPackError.self) { try MsgPackValue(Array(bytes.prefix(count))) }
        guard case .truncated(let needed) = error?.kind else {
          Issue.record("\(hexDigits(bytes.prefix(count))): \(String(describing: error))")
          continue
        }
        #expect(needed > count && needed <= bytes.count)
        #expect(error?.offset == count)
      }
      #expect(try one.demand(in: bytes.span) == .frame(byteCount: bytes.count, payload: 0..<bytes.count))
      let isRight = meaning.fits(
        try MsgPackValueFraming.msgPackValues.decode(bytes.span, payload: 0..<bytes.count, scanned: one))
      #expect(isRight)
    }
  }

  @Test func `all in one stream come out one by one, byte by byte and at random cuts`() throws {
    let wire = Self.all.flatMap(\.0)
    var random = SeededGenerator(seed: 233)
    for round in 0..<50 {
      // Byte by byte, and then in pieces that grow from round to round.
      var arrivals = Array(1...wire.count)
      if round > 0 {
        arrivals.removeAll { _ in Int.random(in: 0...round, using: &random) > 0 }
        arrivals.append(wire.count)
      }
      var (values, sizes) = ([MsgPackValue](), [Int]())
      var start = 0
      var scanner = MsgPackValueFraming.msgPackValues.makeScanner()
      for arrived in arrivals {
        while start < arrived {
          let demand = try scanner.demand(in: wire.span.extracting(start..<arrived))
          guard demand.byteCount <= arrived - start else { break }
          guard let payload = demand.payload else { continue }
          let frame = wire.span.extracting(start..<(start + demand.byteCount))
          values.append(
            try MsgPackValueFraming.msgPackValues.decode(frame, payload: payload, scanned: scanner))
          sizes.append(demand.byteCount)
          start += demand.byteCount
          scanner = MsgPackValueFraming.msgPackValues.makeScanner()
        }
      }
      #expect(sizes == Self.all.map(\.0.count))
      let areRight = zip(Self.all, values).allSatisfy { $0.1.fits($1) }
      #expect(areRight && values.count == Self.all.count)
    }
  }

  @Test func `msgpack-c reads every encoding as long as we do, and packs what we write`() throws {
    for (bytes, _) in Self.all {
      var length = 0
      var packed: UnsafeMutablePointer<UInt8>?
      var count = 0
      let status = unsafe bytes.withUnsafeBufferPointer { bytes in
        unsafe oracle_unpack(bytes.baseAddress, bytes.count, &length, &packed, &count)
      }
      defer { if let packed = unsafe packed { unsafe oracle_free(packed) } }
      #expect(status > 0 && length == bytes.count)
      let written = unsafe Array(UnsafeBufferPointer(start: packed, count: count))
      #expect(written == (try MsgPackValue(bytes).encoded()))
    }
  }
}

extension Suite.Meaning {
  /// Whether a value is what is meant.
  func fits(_ value: MsgPackValue) -> Bool {
    switch (self, value) {
    case (.value(let expected), _): value == expected
    case (.integer(let expected), .int(let number)): number == expected
    case (.integer(let expected), .uint(let number)): number == expected && number > Int64.max
    case (.integer(let expected), .float(let number)): Int128(exactly: number) == expected
    case (.integer(let expected), .double(let number)): Int128(exactly: number) == expected
    case (.fraction(let expected), .float(let number)): Double(number) == expected
    case (.fraction(let expected), .double(let number)): number == expected
    case (.timestamp(let seconds, let nanoseconds), _):
      MsgPackTimestamp(value) == MsgPackTimestamp(seconds: seconds, nanoseconds: nanoseconds)
    default: false
    }
  }

  /// Whether an integer is written as one: as a float it may be shorter.
  func isOfItsKind(_ form: [UInt8]) -> Bool {
    if case .integer = self { return form[0] != 0xca && form[0] != 0xcb }
    return true
  }

  /// Decodes an encoding as each type that holds what is meant, alone and in an array.
  func checkDecoding(_ bytes: [UInt8]) throws {
    func expect<T: Decodable & Equatable>(_ expected: T) throws {
      #expect(try MsgPackDecoder().decode(T.self, from: bytes) == expected, "\(hexDigits(bytes))")
      #expect(try MsgPackDecoder().decode([T].self, from: [0x92] + bytes + bytes) == [expected, expected])
    }
    func expectInteger<T: FixedWidthInteger & Decodable>(_ type: T.Type, _ number: Int128) throws {
      if let expected = T(exactly: number) {
        try expect(expected)
      } else {
        #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(T.self, from: bytes) }
        #expect(throws: DecodingError.self) { try MsgPackDecoder().decode([T].self, from: [0x91] + bytes) }
      }
    }
    switch self {
    case .value(.null): try expect(Int?.none)
    case .value(.bool(let value)): try expect(value)
    case .value(.string(let text)): try expect(text)
    case .value(.binary(let data)):
      try expect(Data(data))
      try expect(data)
    case .value(.array([.string("a")])): try expect(["a"])
    case .value(.array([.array([])])): try expect([[Int]]([[]]))
    case .value(.array([.map([])])): try expect([[String: Int]]([[:]]))
    case .value(.array(let elements)): try expect(elements.compactMap(\.integer))
    case .value(.map([])): try expect([String: Int]())
    case .value(["a": 1]): try expect(["a": 1])
    case .value(["a": "A"]): try expect(["a": "A"])
    case .value(["a": [:]]): try expect(["a": [String: Int]()])
    case .value(["a": []]): try expect(["a": [Int]()])
    case .value(let value): try expect(value)
    case .integer(let number):
      try expectInteger(Int8.self, number)
      try expectInteger(Int16.self, number)
      try expectInteger(Int32.self, number)
      try expectInteger(Int64.self, number)
      try expectInteger(UInt8.self, number)
      try expectInteger(UInt16.self, number)
      try expectInteger(UInt32.self, number)
      try expectInteger(UInt64.self, number)
      if let double = Double(exactly: number) { try expect(double) }
      if let float = Float(exactly: number) { try expect(float) }
    case .fraction(let number):
      try expect(number)
      try expect(Float(number))
      #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(Int.self, from: bytes) }
    case .timestamp(let seconds, let nanoseconds):
      try expect(MsgPackTimestamp(seconds: seconds, nanoseconds: nanoseconds))
      let date = try MsgPackDecoder().decode(Date.self, from: bytes).timeIntervalSince1970
      #expect(abs(date - (Double(seconds) + Double(nanoseconds) / 1e9)) < 1e-3)
    }
  }

  /// The bytes that are written for it, as a value and from each type that holds it.
  func encodings() throws -> [[UInt8]] {
    let encoder = MsgPackEncoder()
    func both<T: Encodable>(_ typed: T, _ value: MsgPackValue) throws -> [[UInt8]] {
      [try encoder.encodeBytes(typed), try value.encoded(), try encoder.encodeBytes(value)]
    }
    switch self {
    case .value(.string(let text)): return try both(text, .string(text))
    case .value(.binary(let data)): return try both(Data(data), .binary(data))
    case .value(.bool(let value)): return try both(value, .bool(value))
    case .value(let value): return try both(value, value)
    case .integer(let number):
      guard let value = MsgPackValue(number) else { return [[]] }
      if let signed = Int64(exactly: number) { return try both(signed, value) }
      return try both(UInt64(number), value)
    case .fraction(let number): return try both(Float(number), .float(Float(number)))
    case .timestamp(let seconds, let nanoseconds):
      let timestamp = MsgPackTimestamp(seconds: seconds, nanoseconds: nanoseconds)
      let written = try both(timestamp, timestamp.value)
      // A date holds doubles.
      if nanoseconds > 0 { return written }
      return try written + [encoder.encodeBytes(Date(timeIntervalSince1970: Double(seconds)))]
    }
  }
}
