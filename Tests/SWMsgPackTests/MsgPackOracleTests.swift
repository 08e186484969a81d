import MsgPackOracle
import SWFraming
import SWMsgPack
import SWTesting
import TestSupport
import Testing

/// msgpack-c's own unpacker and packers, on the same bytes.
@Suite(.lastResort, .leavesNothing) struct MsgPackOracleTests {
  /// The library's answer for bytes: how long the value is, and the bytes that it packs of it.
  private func unpack(_ bytes: [UInt8]) -> (status: Int32, length: Int, packed: [UInt8]) {
    var length = 0
    var packed: UnsafeMutablePointer<UInt8>?
    var count = 0
    let status = unsafe bytes.withUnsafeBufferPointer { bytes in
      unsafe oracle_unpack(bytes.baseAddress, bytes.count, &length, &packed, &count)
    }
    defer { if let packed = unsafe packed { unsafe oracle_free(packed) } }
    return (status, length, unsafe Array(UnsafeBufferPointer(start: packed, count: count)))
  }

  @Test func `on every vector it finds the same length and packs the same bytes`() throws {
    let wires =
      MsgPackVectors.golden.pack.filter { $0.packedPrefixOnly != true }.map(\.packed.bytes)
      + MsgPackVectors.golden.noncanonical.map(\.packed.bytes)
      + MsgPackVectors.golden.singleFloat.map(\.packed.bytes)
    var compared = 0
    for wire in wires {
      let oracle = unpack(wire)
      if oracle.status == -2 { continue }  // deeper than 32 levels
      compared += 1
      #expect(oracle.status == 2)
      #expect(oracle.length == wire.count)
      #expect(oracle.packed == (try MsgPackValue(wire).encoded()))
      let followed = unpack(wire + [0xc0])
      #expect(followed.status > 0)
      #expect(followed.length == wire.count)
    }
    #expect(compared > 190)
  }

  @Test func `it refuses the same bytes`() {
    for golden in MsgPackVectors.golden.invalid where golden.why.contains("0xc1") {
      #expect(unpack(golden.wire.bytes).status == -1)
      #expect(throws: MsgPackError.self) { try MsgPackValue(golden.wire.bytes) }
    }
  }

  @Test func `of random values it packs the same bytes, and bytes changed at random read the same`() throws {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<2000 {
      let value = Self.value(using: &random, depth: 0)
      let bytes = try value.encoded()
      #expect(unpack(bytes).packed == bytes)
      #expect(try MsgPackValue(bytes) == value)

      var changed = bytes
      changed[Int.random(in: 0..<changed.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      // The library reserves for what is declared.
      var scanner = MsgPackValueFraming(limits: MsgPackLimits(elements: 100_000)).makeScanner()
      var demand = FrameDemand.atLeast(1)
      do throws(FramingError) {
        while !demand.isFinal, demand.byteCount <= changed.count {
          demand = try scanner.demand(in: changed.span)
        }
      } catch {
        // The library may accept bytes that we refuse for their size, or fail to reserve memory for them.
        if error.explanation.contains("expected a MessagePack value") { #expect(unpack(changed).status < 0) }
        continue
      }
      guard demand.byteCount < changed.count + 100_000 else { continue }
      let oracle = unpack(changed)
      if demand.isFinal, demand.byteCount <= changed.count {
        #expect(oracle.status > 0)
        #expect(oracle.length == demand.byteCount)
      } else {
        // It also looks at what we have not asked for.
        #expect(oracle.status <= 0)
      }
    }
  }

  private static func value(using random: inout SeededGenerator, depth: Int) -> MsgPackValue {
    func bytes(_ limit: Int) -> [UInt8] {
      (0..<Int.random(in: 0...limit, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
    switch Int.random(in: 0..<(depth < 5 ? 11 : 8), using: &random) {
    case 0: return .null
    case 1: return .bool(Bool.random(using: &random))
    case 2, 3:
      let shift = Int.random(in: 0..<64, using: &random)
      return MsgPackValue(Int64.random(in: .min ... .max, using: &random) >> shift) ?? .null
    case 4: return MsgPackValue(UInt64.random(in: 0 ... .max, using: &random)) ?? .null
    case 5: return .double(Double.random(in: -1e9...1e9, using: &random))
    case 6: return .binary(bytes(300))
    case 7: return .extension(type: Int8.random(in: 0...127, using: &random), bytes(20))
    case 8:
      return .string(String(repeating: "é", count: Int.random(in: 0...40, using: &random)))
    case 9:
      return .array(
        (0..<Int.random(in: 0...20, using: &random)).map { _ in value(using: &random, depth: depth + 1) })
    default:
      return .map(
        (0..<Int.random(in: 0...17, using: &random)).map { _ in
          .init(value(using: &random, depth: depth + 1), value(using: &random, depth: depth + 1))
        })
    }
  }
}
