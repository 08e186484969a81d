import Foundation
import SWFraming
import SWMessaging
import SWMsgPack
import SWTesting
import TestSupport
import Testing

/// Under a sanitizer time says little: its own work is not linear.
let isSanitized = ProcessInfo.processInfo.environment["SWTEST_SANITIZED"] != nil

@Suite(.lastResort, .leavesNothing) struct MsgPackFramingTests {
  let framing: MsgPackValueFraming = .msgPackValues

  @Test(arguments: MsgPackVectors.golden.pack)
  func `a value becomes the bytes that Python packs, and back`(_ golden: MsgPackVectors.Packed) throws {
    let packed = try golden.value.value.encoded()
    if golden.packedPrefixOnly == true {
      #expect(packed.starts(with: golden.packed.bytes))
      #expect(packed.count == golden.packedLength)
    } else {
      #expect(packed == golden.packed.bytes)
    }
    let back = try MsgPackValue(packed)
    // Python's not-a-number is not equal to itself, its bits are.
    #expect(try back.encoded() == packed)
    #expect(back == golden.value.value || packed == [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0])
    #expect(try framing.decode(filling: packed.span).encoded() == packed)
  }

  @Test(arguments: MsgPackVectors.golden.noncanonical)
  func `a longer form than need be is read, and goes out in the shortest`(
    _ golden: MsgPackVectors.Noncanonical
  ) throws {
    let value = try framing.decode(filling: golden.packed.bytes.span)
    guard let canonical = golden.canonical?.bytes else { return }
    // Python has doubles only, and drops a map's earlier duplicates.
    if case .float(let single) = value {
      #expect(try MsgPackValue.double(Double(single)).encoded() == canonical)
    } else if case .map(let pairs) = value, pairs.count == 2 {
      #expect(try value.encoded() == golden.packed.bytes)
    } else {
      #expect(try value.encoded() == canonical)
    }
  }

  @Test func `single precision stays single`() throws {
    for golden in MsgPackVectors.golden.singleFloat {
      let value = try framing.decode(filling: golden.packed.bytes.span)
      guard case .float(let single) = value, case .double(let double) = golden.decoded.value else {
        Issue.record("\(value) is not of single precision")
        continue
      }
      #expect(Double(single).bitPattern == double.bitPattern || single.isNaN && double.isNaN)
      #expect(try value.encoded() == golden.packed.bytes)
    }
  }

  @Test(arguments: MsgPackVectors.golden.invalid)
  func `what Python refuses is refused, or deeper than the limit`(_ golden: MsgPackVectors.Invalid) throws {
    let result = Result { try framing.decode(filling: golden.wire.bytes.span) }
    if golden.why.hasPrefix("0xc1") || golden.why.hasPrefix("first byte") {
      #expect(throws: FramingError.self) { try result.get() }
    } else if golden.unpackb == "UnicodeDecodeError" {
      let error = #expect(throws: MsgPackError.self) { try result.get() }
      #expect(error?.kind == .notUTF8)
      #expect(error?.offset == 1)
    } else if golden.why.contains("depth") {
      let depth = golden.why.split(separator: " ").last.flatMap { Int($0) } ?? 0
      #expect((try? result.get()) != nil || depth > 512, "\(depth)")
      #expect((try? result.get()) == nil || depth <= 512, "\(depth)")
    } else {
      // Timestamps out of range are extensions to who asks for values; keys may be anything.
      #expect(try result.get().encoded() == golden.wire.bytes)
    }
  }

  @Test func `every prefix of every vector asks for more, and never for too much`() throws {
    let wires =
      MsgPackVectors.golden.pack.filter { $0.packedPrefixOnly != true }.map(\.packed.bytes)
      + MsgPackVectors.golden.noncanonical.map(\.packed.bytes)
    for wire in wires {
      var scanner = framing.makeScanner()
      let prefixes =
        wire.count <= 2048 ? Array(0..<wire.count) : Array(0..<100) + Array((wire.count - 100)..<wire.count)
      for count in prefixes {
        let demand = try scanner.demand(in: wire.span.extracting(first: count))
        #expect(!demand.isFinal && demand.byteCount > count && demand.byteCount <= wire.count)
        #expect(throws: MsgPackError.self) { try MsgPackValue(Array(wire.prefix(count))) }
      }
      #expect(try scanner.demand(in: wire.span) == .frame(byteCount: wire.count, payload: 0..<wire.count))
    }
  }

  @Test func `a truncated stream ends inside a frame`() throws {
    for golden in MsgPackVectors.golden.truncated {
      let wire = golden.wire.bytes
      var scanner = framing.makeScanner()
      let demand = try scanner.demand(in: wire.span)
      #expect(demand.byteCount > wire.count && demand.byteCount <= golden.of)
    }
  }

  @Test(arguments: MsgPackVectors.golden.streams)
  func `a stream gives the messages that Python sees, however it is cut`(
    _ golden: MsgPackVectors.Stream
  ) throws {
    let wire = golden.wire.bytes
    var cuts = [wire.map { _ in 1 }, [wire.count]]
    if let lengths = golden.chunkLengths { cuts.append(lengths) }
    for lengths in cuts {
      var (values, sizes) = ([MsgPackValue](), [Int]())
      var (start, arrived) = (0, 0)
      var scanner = framing.makeScanner()
      for length in lengths {
        arrived = min(wire.count, arrived + length)
        while true {
          let demand = try scanner.demand(in: wire.span.extracting(start..<arrived))
          guard let payload = demand.payload, demand.byteCount <= arrived - start else { break }
          let frame = wire.span.extracting(start..<(start + demand.byteCount))
          values.append(try framing.decode(frame, payload: payload, scanned: scanner))
          sizes.append(demand.byteCount)
          start += demand.byteCount
          scanner = framing.makeScanner()
          if start == arrived { break }
        }
      }
      #expect(sizes == golden.messageLengths)
      #expect(values == golden.values.map(\.value))
      #expect(Array(wire[start...]) == golden.partial.bytes)
    }
  }

  @Test(arguments: MsgPackVectors.golden.huge)
  func `a huge declaration takes no memory`(_ golden: MsgPackVectors.Huge) throws {
    let wire = golden.wire.bytes
    var scanner = framing.makeScanner()
    var error: FramingError?
    var needed = 1
    do throws(FramingError) {
      while needed <= wire.count { needed = try scanner.demand(in: wire.span).byteCount }
    } catch let refused {
      error = refused
    }
    #expect(error != nil || needed > wire.count)
    #expect(scanner.waitingByteCount < 64 << 10)
    #expect(throws: MsgPackError.self) { try MsgPackValue(wire) }
  }

  @Test(arguments: [32, 33, 511, 512, 513, 1023, 1024, 1025, 100_000])
  func `containers nest as deeply as the limit says`(_ depth: Int) throws {
    for unit: [UInt8] in [[0x91], [0x81, 0xc0], [0xdc, 0, 1], [0xdf, 0, 0, 0, 1, 0xa0]] {
      let wire = Array(repeatElement(unit, count: depth).joined()) + [0xc0]
      for limit in [512, 1024] {
        let limits = MsgPackLimits(depth: limit)
        let framing: MsgPackValueFraming = .msgPackValues(limits: limits)
        if depth <= limit {
          let value = try framing.decode(filling: wire.span)
          #expect(value == (try MsgPackValue(wire, limits: limits)))
          #expect(try MsgPackValue(value.encoded(limits: limits), limits: limits) == value)
          #expect(!value.description.isEmpty)
        } else {
          let error = #expect(throws: FramingError.self) { try framing.decode(filling: wire.span) }
          #expect(error?.offset == limit * unit.count)
          let other = #expect(throws: MsgPackError.self) { try MsgPackValue(wire, limits: limits) }
          #expect(other?.kind == .tooDeep(limit: limit))
          #expect(other?.offset == limit * unit.count)
          #expect(other?.firstByte == unit[0])
        }
      }
    }
  }

  @Test func `a value that is too deep is not sent`() throws {
    var value: MsgPackValue = .null
    for _ in 0..<512 { value = [value] }
    #expect(try value.encoded().count == 513)
    #expect(throws: EncodingError.self) { try MsgPackValue.array([value]).encoded() }
  }

  @Test func `more elements than the limit are refused by the header that declares them`() throws {
    let framing: MsgPackValueFraming = .msgPackValues(limits: MsgPackLimits(elements: 10))
    let nine: [UInt8] = [0x99] + Array(repeating: 1, count: 9)
    #expect(try framing.decode(filling: nine.span).encoded() == nine)
    for (wire, offset): ([UInt8], Int) in [
      ([0x9a], 0), ([0x92, 0x98, 0], 1), ([0x85], 0), ([0xdd, 0xff, 0xff, 0xff, 0xff], 0),
      ([0x91, 0xde, 0xff, 0xff], 1),
    ] {
      var scanner = framing.makeScanner()
      let error = #expect(throws: FramingError.self) { _ = try scanner.demand(in: wire.span) }
      #expect(error?.offset == offset)
    }
  }

  @Test func `memory stays within a small multiple of what has arrived`() throws {
    // The worst there is: one byte a value.
    let count = 1 << 20
    let wire: [UInt8] = [0xdd, 0, 0x10, 0, 0] + Array(repeating: 0xc0, count: count - 1)
    var scanner = framing.makeScanner()
    _ = try scanner.demand(in: wire.span.extracting(first: 5))
    #expect(scanner.waitingByteCount < 64 << 10)
    let inExactly = try scanner.demand(in: wire.span)
    #expect(inExactly == .atLeast(count + 5))
    #expect(scanner.waitingByteCount < 64 << 10)
    // Strings of which each but the first byte is still to come.
    let strings: [UInt8] = [0xdc, 0xff, 0xff] + Array(repeating: 0xa0, count: 0xffff)
    var other = framing.makeScanner()
    #expect(try other.demand(in: strings.span).isFinal)
  }

  @Test func `an idle scanner takes no memory beside itself`() {
    #expect(MemoryLayout<MsgPackScanner>.size <= 48)
    #expect(framing.makeScanner().waitingByteCount == 0)
  }

  static let messages: [MsgPackValue] = [
    nil, true, 0, -1, 127, 128, -33, 65_536, .int(.min), .int(.max), .uint(.max), 1.5, .float(0.1), "", "é",
    .string(String(repeating: "x", count: 31)), .string(String(repeating: "x", count: 32)),
    .string(String(repeating: "y", count: 70_000)), .binary([]), .binary(Array(repeating: 7, count: 256)),
    .extension(type: -1, [0, 0, 0, 0]), .extension(type: 5, Array(repeating: 1, count: 17)), [],
    [1, [2, [3]]],
    [:], ["data": .binary(Array("Hello world!".utf8))], [1: 2, nil: [], [3]: ["k": [nil, false]]],
    .array(Array(repeating: ["a": 1, "b": [2.5, "c"]], count: 300)),
  ]

  @Test func `the laws are kept`() throws {
    try checkFraming(
      framing, messages: Self.messages, hostileInputs: 5000, measuresTime: !isSanitized,
      largeMessage: { byteCount in .array(Array(repeating: [1, "x"], count: byteCount / 4)) })
  }

  @Test func `an exact endpoint leaves the next value to who reads next`() async throws {
    let (raw, writer) = try makePipe()
    // All of them fit into the pipe.
    let messages = try Self.messages.filter { try $0.encoded().count < 1000 }
    try await MessageWriter(over: writer, framing: framing).send(contentsOf: messages)
    for message in messages {
      let reader = try raw.withDescriptor { number throws(EndpointError) in
        try MessageReader(duplicating: number, framing: framing, mode: .exact)
      }
      #expect(try await reader.receive(timeout: .patience) == message)
    }
  }

  @Test func `a message that is refused leaves the stream in step`() async throws {
    let (reader, writer) = try makePipe(framing: framing)
    let raw = try writer.withDescriptor { number throws(EndpointError) in
      try SocketWriter(duplicating: number)
    }
    _ = try await raw.send([0xa2, 0xff, 0xfe, 0x07, 0x92, 0x01, 0xa1, 0xe4, 0x08])
    for expected: MsgPackValue? in [nil, 7, nil, 8] {
      let result: Result<MsgPackValue, EndpointError>
      do throws(EndpointError) {
        result = .success(try await reader.receive(timeout: .patience))
      } catch {
        result = .failure(error)
      }
      switch result {
      case .success(let value): #expect(value == expected)
      case .failure(let error):
        #expect(expected == nil)
        guard case .codec(let cause) = error.reason else {
          Issue.record("\(error)")
          continue
        }
        #expect((cause as? MsgPackError)?.kind == .notUTF8)
      }
    }
  }

  @Test func `a header that declares more than the endpoint takes is refused at once`() async throws {
    let (raw, writer) = try makePipe()
    let reader = MessageReader(over: raw, framing: framing)
    _ = try await writer.send([0xc6, 0xff, 0xff, 0xff, 0xff])
    let error = await #expect(throws: EndpointError.self) { try await reader.receive(timeout: .patience) }
    guard case .framing(let cause) = error?.reason, case .tooLarge(let declared, _) = cause.kind else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(declared == 5 + UInt64(UInt32.max))
  }
}
