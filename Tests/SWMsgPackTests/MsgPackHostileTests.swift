import Foundation
import SWFraming
import SWMessaging
import SWMsgPack
import SWTesting
import TestSupport
import Testing

/// Hostile bytes: every reader throws typed errors with the offset.
@Suite(.lastResort, .leavesNothing) struct MsgPackHostileTests {
  /// The answer of `MsgPackValue` and of the decoder for bytes.
  private func error(_ bytes: [UInt8]) -> MsgPackError? {
    let error = #expect(throws: MsgPackError.self) { try MsgPackValue(bytes) }
    #expect(underlying([String].self, bytes) == error, "\(hexDigits(bytes.prefix(64)))")
    return error
  }

  /// The cause of a decoding error.
  private func underlying<T: Decodable>(_ type: T.Type, _ bytes: [UInt8]) -> MsgPackError? {
    let error = #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(T.self, from: bytes) }
    guard case .dataCorrupted(let context) = error else { return nil }
    return context.underlyingError as? MsgPackError
  }

  /// The framing's answer for bytes that arrive one by one, and after how many of them it comes.
  private func refusal(_ bytes: [UInt8]) -> (error: FramingError, arrived: Int)? {
    var scanner = MsgPackValueFraming.msgPackValues.makeScanner()
    for arrived in 0...bytes.count {
      do throws(FramingError) {
        if try scanner.demand(in: bytes.span.extracting(first: arrived)).isFinal { return nil }
      } catch {
        return (error, arrived)
      }
    }
    return nil
  }

  static let most: [UInt8] = [0xff, 0xff, 0xff, 0xff]

  // MARK: Bombs

  @Test(arguments: [[], [0x91], [0x92, 0x07], [0x81, 0xa1, 0x6b]] as [[UInt8]])
  func `what declares the most there can be is refused, or known to be truncated, at its header`(
    _ before: [UInt8]
  ) {
    for header: UInt8 in [0xdd, 0xdf] {
      let bytes = before + [header] + Self.most
      for bytes in [bytes, bytes + [0xc0, 0xc0]] {
        let found = error(bytes)
        #expect(found?.kind == .tooManyElements(limit: 1 << 24))
        #expect(found?.offset == before.count && found?.firstByte == header)
        let refused = refusal(bytes)
        #expect(refused?.error.kind == .malformedHeader && refused?.error.offset == before.count)
        #expect(refused?.arrived == before.count + 5)
      }
    }
    for header: UInt8 in [0xc6, 0xdb] {
      let bytes = before + [header] + Self.most
      let needed = UInt64(bytes.count) + UInt64(UInt32.max)
      #expect(error(bytes)?.kind == .truncated(needed: needed))
      #expect(error(bytes)?.offset == bytes.count)
      #expect(error(bytes + [0x61])?.kind == .truncated(needed: needed))
      var scanner = MsgPackValueFraming.msgPackValues.makeScanner()
      var demand = FrameDemand.atLeast(1)
      while demand.byteCount <= bytes.count, let next = try? scanner.demand(in: bytes.span) { demand = next }
      #expect(demand.byteCount == Int(needed))
    }
    let bytes = before + [0xc9] + Self.most + [5]
    #expect(error(bytes)?.kind == .tooLong)
    #expect(error(bytes)?.offset == before.count)
    #expect(refusal(bytes)?.error.offset == before.count)
  }

  @Test func `thirty-two long arrays in each other are refused by the first that is too long`() {
    let nested = Array(repeatElement([0xdd] + Self.most, count: 32).joined()) + [0xc0]
    #expect(error(nested)?.kind == .tooManyElements(limit: 1 << 24))
    #expect(error(nested)?.offset == 0)
    // Each within the limit, together not.
    let header: [UInt8] = [0xdd, 0, 0x40, 0, 0]
    let together = Array(repeatElement(header, count: 32).joined()) + [0xc0]
    #expect(error(together)?.kind == .tooManyElements(limit: 1 << 24))
    #expect(error(together)?.offset == 3 * 5)
    // Nothing is looked at before it is asked for: as it arrives, the second header stands where the first has
    // asked for four million bytes.
    #expect(refusal(together) == nil)
    let framing: MsgPackValueFraming = .msgPackValues(limits: MsgPackLimits(elements: 100))
    let small = Array(repeatElement([0xdc, 0, 40] as [UInt8], count: 32).joined())
    let refused = #expect(throws: FramingError.self) { try framing.decode(filling: small.span) }
    #expect(refused?.offset == 2 * 3)
  }

  // MARK: 0xc1

  /// Containers in every form, with the offset of each element.
  static let containers: [(bytes: [UInt8], starts: [Int])] = {
    func filled(_ header: [UInt8], _ elements: [[UInt8]]) -> (bytes: [UInt8], starts: [Int]) {
      var bytes = header
      var starts: [Int] = []
      for element in elements {
        starts.append(bytes.count)
        bytes += element
      }
      return (bytes, starts)
    }
    let mixed: [[UInt8]] = [
      [0x07], [0xa2, 0x61, 0x62], [0xcb, 0, 0, 0, 0, 0, 0, 0, 0], [0x90], [0xc4, 1, 9], [0xc0],
    ]
    let long = Array(repeating: [0x01] as [UInt8], count: 70_000)
    return [
      filled([0x96], mixed), filled([0xdc, 0, 6], mixed), filled([0xdd, 0, 0, 0, 6], mixed),
      filled([0x83], mixed), filled([0xde, 0, 3], mixed), filled([0xdf, 0, 0, 0, 3], mixed),
      filled([0x81, 0xa1, 0x6b, 0x91, 0xdc, 0, 6], mixed),
      filled([0xdd, 0, 1, 0x11, 0x70], long), filled([0xdf, 0, 0, 0x88, 0xb8], long),
    ]
  }()

  @Test func `the byte that begins no value is found in every place`() {
    for bytes: [UInt8] in [[0xc1], [0xc1, 0xc0]] {
      #expect(error(bytes)?.kind == .noValue)
      #expect(error(bytes)?.offset == 0)
      #expect(refusal(bytes)?.arrived == 1)
    }
    for (bytes, starts) in Self.containers {
      let places =
        starts.count > 100
        ? [0, 1, starts.count / 2, starts.count - 1].map { starts[$0] } : starts
      for place in places {
        // Everything behind it is gone, replaced by as many elements.
        let rest = starts.count { $0 > place }
        for tail in [Array(repeating: 0xc0, count: rest), Array(repeating: 0xc1, count: rest)] as [[UInt8]] {
          let broken = bytes[..<place] + [0xc1] + tail
          let found = error(Array(broken))
          #expect(found?.kind == .noValue && found?.offset == place && found?.firstByte == 0xc1)
          let refused = refusal(Array(broken))
          #expect(refused?.error.kind == .malformedHeader && refused?.error.offset == place)
          // Once the least length of the value is there, and not before: a scanner looks at nothing that it
          // has not asked for.
          #expect(refused.map { $0.arrived > place && $0.arrived <= broken.count } == true)
        }
        // With what it hides behind cut off, it is found by who is given all there is.
        let cut = error(Array(bytes[..<place] + [0xc1]))
        #expect(cut?.kind == .noValue && cut?.offset == place)
      }
    }
  }

  @Test func `as a part of a number, of data and of an extension it is a byte like others`() throws {
    for bytes: [UInt8] in [
      [0xcc, 0xc1], [0xcf] + Array(repeating: 0xc1, count: 8), [0xca] + Array(repeating: 0xc1, count: 4),
      [0xc4, 0x02, 0xc1, 0xc1], [0xd4, 0xc1, 0xc1], [0xdc, 0, 1, 0xcc, 0xc1],
    ] {
      #expect(try MsgPackValueFraming.msgPackValues.decode(filling: bytes.span) == MsgPackValue(bytes))
    }
    #expect(try MsgPackValue([0xd4, 0xc1, 0xc1]) == .extension(type: -63, [0xc1]))
    #expect(underlying(String.self, [0xa1, 0xc1])?.kind == .notUTF8)
  }

  // MARK: Text

  static let malformed: [[UInt8]] = [
    [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc2], [0xc2, 0x20], [0xe0, 0x80, 0x80], [0xe0, 0x9f, 0xbf],
    [0xe4, 0xb8], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xf0, 0x80, 0x80, 0x80], [0xf0, 0x9f, 0x8d],
    [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xfe], [0xff], [0xff, 0xfe],
  ]

  @Test(arguments: malformed) func `text that is not UTF-8 is refused, in every form and place`(
    _ text: [UInt8]
  ) throws {
    // Also behind text that is long enough for another way of validating.
    for units in [text, text + Array("after".utf8), Array("a longer text in front of it: ".utf8) + text] {
      let count = UInt8(units.count)
      var forms: [[UInt8]] = [[0xd9, count], [0xda, 0, count], [0xdb, 0, 0, 0, count]]
      if count < 32 { forms.append([0xa0 | count]) }
      for form in forms {
        let string = form + units
        #expect(underlying(String.self, string)?.offset == form.count)
        for (bytes, start) in [
          (string, 0), ([0x92, 0xa1, 0x61] + string, 3), ([0x81] + string + [0xa0], 1),
          ([0x81, 0xa1, 0x6b] + string, 3), ([0xdd, 0, 0, 0, 2, 0x91] + string + [0xc0], 6),
        ] {
          let found = #expect(throws: MsgPackError.self) { try MsgPackValue(bytes) }
          #expect(found?.kind == .notUTF8 && found?.offset == start + form.count)
          #expect(found?.firstByte == units[0])
          // Its frame ends where it ends: the next value is not lost.
          var scanner = MsgPackValueFraming.msgPackValues.makeScanner()
          var demand = FrameDemand.atLeast(1)
          while !demand.isFinal { demand = try scanner.demand(in: (bytes + [0x07]).span) }
          #expect(demand.byteCount == bytes.count)
        }
        let inArray = underlying([String].self, [0x92, 0xa1, 0x61] + string)
        #expect(inArray?.kind == .notUTF8 && inArray?.offset == 3 + form.count)
        let asValue = underlying([String: String].self, [0x81, 0xa1, 0x6b] + string)
        #expect(asValue?.kind == .notUTF8 && asValue?.offset == 3 + form.count)
        let asKey = underlying([String: String].self, [0x81] + string + [0xa0])
        #expect(asKey?.kind == .notUTF8 && asKey?.offset == 1 + form.count)
      }
    }
  }

  @Test func `a key without a name is an error for a dictionary, and nothing to who does not ask for it`()
    throws
  {
    struct One: Decodable { var k: Int }
    for unnamed: MsgPackValue in [nil, true, 1.5, .uint(.max), [], [:], .binary([0xff])] {
      for fill in [0, 20] {
        let fillers = (0..<fill).map { MsgPackValue.Pair(.string("\($0)"), 0) }
        let bytes = try MsgPackValue.map(fillers + [.init(unnamed, 1), .init("k", 2)]).encoded()
        #expect(try MsgPackDecoder().decode(One.self, from: bytes).k == 2)
        #expect(throws: DecodingError.self) { try MsgPackDecoder().decode([String: Int].self, from: bytes) }
        #expect(throws: DecodingError.self) { try MsgPackDecoder().decode([Int: Int].self, from: bytes) }
      }
    }
    for text in Self.malformed {
      let bytes = [0x82, 0xa0 | UInt8(text.count)] + text + [0x01, 0xa1, 0x6b, 0x02]
      #expect(try MsgPackDecoder().decode(One.self, from: bytes).k == 2)
      #expect(underlying([String: Int].self, bytes)?.offset == 2)
    }
  }

  // MARK: Truncations

  @Test func `a message cut anywhere is truncated, there`() async throws {
    let message: MsgPackValue = [
      "text": .string(String(repeating: "é", count: 40)), "list": .array(Array(repeating: 300, count: 20)),
      "deep": [[[["k": .binary(Array(repeating: 1, count: 300))]]]], "ext": .extension(type: 9, [1, 2, 3]),
      "when": MsgPackTimestamp(seconds: -1, nanoseconds: 5).value, "d": 0.1, "f": .float(0.1),
      "u": .uint(.max),
    ]
    let bytes = try message.encoded()
    for count in 0..<bytes.count {
      let found = error(Array(bytes.prefix(count)))
      guard case .truncated(let needed) = found?.kind else {
        Issue.record("\(count): \(String(describing: found))")
        continue
      }
      #expect(found?.offset == count && found?.firstByte == nil)
      #expect(needed > count && needed <= bytes.count)
    }
    for count in stride(from: 1, to: bytes.count, by: 7) {
      let (reader, writer) = try makePipe(framing: .msgPackValues)
      let raw = try writer.withDescriptor { number throws(EndpointError) in
        try SocketWriter(duplicating: number)
      }
      _ = try await raw.send(bytes.prefix(count))
      raw.close()
      writer.close()
      let found = await #expect(throws: EndpointError.self) {
        try await reader.receive(timeout: .patience)
      }
      #expect(found?.reason == .truncated)
    }
  }

  // MARK: Timestamps

  @Test func `a timestamp with a second of nanoseconds, or of another length, is none`() throws {
    func eight(_ nanoseconds: UInt64) -> [UInt8] {
      let both = nanoseconds << 34 | 1
      return [0xd7, 0xff] + (0..<8).reversed().map { UInt8(truncatingIfNeeded: both >> (8 * $0)) }
    }
    func twelve(_ nanoseconds: UInt32) -> [UInt8] {
      [0xc7, 12, 0xff] + (0..<4).reversed().map { UInt8(truncatingIfNeeded: nanoseconds >> (8 * $0)) }
        + [0, 0, 0, 0, 0, 0, 0, 1]
    }
    // Each with the offset of its payload.
    var bad: [([UInt8], Int)] = [
      (eight(1_000_000_000), 2), (eight(1 << 30 - 1), 2), (twelve(1_000_000_000), 3), (twelve(.max), 3),
      ([0xd4, 0xff, 0], 2), ([0xd5, 0xff, 0, 0], 2), ([0xd8, 0xff] + Array(repeating: 0, count: 16), 2),
    ]
    for count in [0, 1, 3, 5, 7, 9, 11, 13, 16] {
      bad.append(([0xc7, UInt8(count), 0xff] + Array(repeating: 0, count: count), 3))
    }
    for (bytes, payload) in bad {
      for found in [
        underlying([Date].self, [0x91] + bytes), underlying([MsgPackTimestamp].self, [0x91] + bytes),
      ] {
        #expect(found?.kind == .malformedTimestamp, "\(hexDigits(bytes))")
        #expect(found?.offset == 1 + payload)
      }
      // To who asks for values it is an extension like others.
      let value = try MsgPackValue(bytes)
      #expect(MsgPackTimestamp(value) == nil)
      #expect(try MsgPackValue(value.encoded()) == value)
    }
    for bytes in [eight(999_999_999), twelve(999_999_999)] {
      let expected = MsgPackTimestamp(seconds: 1, nanoseconds: 999_999_999)
      #expect(try MsgPackDecoder().decode(MsgPackTimestamp.self, from: bytes) == expected)
      #expect(MsgPackTimestamp(try MsgPackValue(bytes)) == expected)
    }
  }

  // MARK: Depth

  /// Nests as keyed and as unkeyed containers do.
  indirect enum Nest: Codable, Equatable, Sendable {
    case end
    case array(Nest)
    case map(Nest)

    private enum Keys: String, CodingKey { case k }

    init(_ depth: Int, isMap: Bool) {
      self = .end
      for _ in 0..<depth { self = isMap ? .map(self) : .array(self) }
    }

    init(from decoder: any Decoder) throws {
      if let map = try? decoder.container(keyedBy: Keys.self) {
        self = .map(try map.decode(Nest.self, forKey: .k))
      } else if var array = try? decoder.unkeyedContainer() {
        self = .array(try array.decode(Nest.self))
      } else {
        self = .end
      }
    }

    func encode(to encoder: any Encoder) throws {
      switch self {
      case .end:
        var value = encoder.singleValueContainer()
        try value.encodeNil()
      case .array(let inner):
        var array = encoder.unkeyedContainer()
        try array.encode(inner)
      case .map(let inner):
        var map = encoder.container(keyedBy: Keys.self)
        try map.encode(inner, forKey: .k)
      }
    }
  }

  /// A sanitizer's frames are so large that a thread's stack has no room for more.
  @Test(arguments: isSanitized ? [32, 33] : [32, 33, 511, 512, 513, 1024, 1025], [512, 1024])
  func `as deep as the limit says, in both directions, for values and for types`(
    _ depth: Int, _ limit: Int
  ) throws {
    let limits = MsgPackLimits(depth: limit)
    var (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
    encoder.maximumDepth = limits.depth
    decoder.limits = limits
    for isMap in [false, true] {
      let unit: [UInt8] = isMap ? [0x81, 0xa1, 0x6b] : [0x91]
      let bytes = Array(repeatElement(unit, count: depth).joined()) + [0xc0]
      var value: MsgPackValue = .null
      for _ in 0..<depth { value = isMap ? ["k": value] : [value] }
      let nest = Nest(depth, isMap: isMap)
      let values: MsgPackValueFraming = .msgPackValues(limits: limits)
      let typed = MsgPackFraming<Nest, Nest>(encoder: encoder, decoder: decoder)
      if depth <= limit {
        #expect(try value.encoded(limits: limits) == bytes)
        #expect(try encoder.encodeBytes(value) == bytes)
        #expect(try encoder.encodeBytes(nest) == bytes)
        #expect(try MsgPackValue(bytes, limits: limits) == value)
        #expect(try decoder.decode(MsgPackValue.self, from: bytes) == value)
        #expect(try decoder.decode(Nest.self, from: bytes) == nest)
        #expect(try values.decode(filling: bytes.span) == value)
        #expect(try typed.decode(filling: bytes.span) == nest)
      } else {
        var parts = FrameParts()
        #expect(throws: EncodingError.self) { try value.encoded(limits: limits) }
        #expect(throws: EncodingError.self) { try encoder.encodeBytes(value) }
        #expect(throws: EncodingError.self) { try encoder.encodeBytes(nest) }
        #expect(throws: EncodingError.self) { try values.encode(value, into: &parts) }
        #expect(throws: EncodingError.self) { try typed.encode(nest, into: &parts) }
        let found = #expect(throws: MsgPackError.self) { try MsgPackValue(bytes, limits: limits) }
        #expect(found?.kind == .tooDeep(limit: limit) && found?.offset == limit * unit.count)
        #expect(throws: DecodingError.self) { try decoder.decode(Nest.self, from: bytes) }
        let refused = #expect(throws: FramingError.self) { try typed.decode(filling: bytes.span) }
        #expect(refused?.offset == limit * unit.count)
      }
    }
  }

  @Test func `a hundred thousand levels are refused at the first that is too many, as they arrive`() {
    for unit: [UInt8] in [[0x91], [0x81, 0xa0], [0x81], [0xdd, 0, 0, 0, 1], [0xdf, 0, 0, 0, 2]] {
      let bytes = Array(repeatElement(unit, count: 100_000).joined())
      #expect(error(bytes)?.kind == .tooDeep(limit: 512))
      #expect(error(bytes)?.offset == 512 * unit.count)
      let refused = refusal(bytes)
      #expect(refused?.error.offset == 512 * unit.count)
      #expect(refused.map { $0.arrived < 3 * 513 * unit.count } == true)
    }
  }

  // MARK: Memory

  /// The input and the mode of the probe, the result, and the peak memory as a multiple of the bytes.
  struct Bomb: CustomTestStringConvertible, Sendable {
    var stream: String
    var reader: String
    var outcome: String
    var multiple: Int
    var testDescription: String { "\(stream), \(reader)" }
  }

  /// Refused at their header they take nothing, waited for they take what has arrived. At the peak of a
  /// value that is whole there are: its bytes, a token of 16 bytes for each element, and the result, of which
  /// an element takes 24 bytes, and each array or map memory of its own.
  static let bombs: [Bomb] =
    ["arrays", "maps", "binaries", "strings", "extensions", "levels", "nested", "long-array", "long-map"].map
  {
    Bomb(stream: $0, reader: "endpoint", outcome: "", multiple: 1)
  }
    + ["long-array", "long-map", "long-binary", "nested", "binaries", "strings"].flatMap {
      [
        Bomb(stream: $0, reader: "unlimited", outcome: "truncated", multiple: 2),
        Bomb(stream: $0, reader: "typed", outcome: "truncated", multiple: 2),
      ]
    }
    + ["long-array", "long-map", "nested"].flatMap {
      // A caller that has all bytes holds them itself.
      [
        Bomb(stream: $0, reader: "value", outcome: "truncated", multiple: 17),
        Bomb(stream: $0, reader: "decoder", outcome: "truncated", multiple: 17),
      ]
    }
    + ["nils", "empties"].map { Bomb(stream: $0, reader: "endpoint", outcome: "value", multiple: 43) }
    + [
      Bomb(stream: "pairs", reader: "endpoint", outcome: "value", multiple: 64),
      Bomb(stream: "nils", reader: "typed", outcome: "value", multiple: 36),
      Bomb(stream: "pairs", reader: "typed", outcome: "DecodingError", multiple: 18),
    ]

  @Test(.disabled(if: isSanitized, "a sanitizer's own memory counts"), arguments: bombs)
  func `memory stays within a stated multiple of the bytes received`(_ bomb: Bomb) async throws {
    let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let path = URL(filePath: tests).deletingLastPathComponent().appending(path: "probe").path
    for byteCount in [64 << 10, 512 << 10] {
      let probe = limitLife(
        of: try await ChildProcess.spawn(
          path, arguments: ["msgpack-memory", bomb.stream, bomb.reader, "\(byteCount)"],
          channel: .standardStreams, framing: .lines),
        named: "probe msgpack-memory")
      var answers: [String: String] = [:]
      for try await line in probe.channel.messages {
        let parts = String(decoding: line, as: UTF8.self).split(separator: "=", maxSplits: 1)
        if parts.count == 2 { answers[String(parts[0])] = String(parts[1]) }
      }
      #expect(try await probe.exitStatus == .exited(0))
      let outcome = try #require(answers["outcome"])
      #expect(outcome.hasPrefix(bomb.outcome))
      if bomb.outcome.isEmpty { #expect(outcome.hasPrefix("malformed") || outcome.hasPrefix("tooLarge")) }
      let percent = try #require(answers["percent"].flatMap { Int($0) })
      // Beside them: the endpoints, a thread, and what allocators take at a time.
      #expect(
        percent * byteCount / 100 < bomb.multiple * byteCount + 512 << 10, "\(percent) % of \(byteCount)")
    }
  }
}
