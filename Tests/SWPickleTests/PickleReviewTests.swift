import Foundation
import SWMessaging
import SWPickle
import Synchronization
import TestSupport
import Testing

/// Findings of reviews that belong to no other suite.
@Suite(.lastResort, .leavesNothing) struct PickleReviewTests: PickleCases {
  // MARK: Bytes as CPython's

  /// `pickle.dumps(collections.OrderedDict((i, i) for i in range(count)), 4)`, built by CPython's rule: batches of 1000,
  /// the last of which has no mark if it is one item.
  private func pythonOrderedDict(_ count: Int) -> [UInt8] {
    func int(_ value: Int) -> [UInt8] {
      value < 256 ? [0x4b, UInt8(value)] : [0x4d, UInt8(value & 0xff), UInt8(value >> 8)]
    }
    func text(_ text: String) -> [UInt8] { [0x8c, UInt8(text.utf8.count)] + Array(text.utf8) + [0x94] }
    var body = text("collections") + text("OrderedDict") + [0x93, 0x94, 0x29, 0x52, 0x94]
    for start in stride(from: 0, to: count, by: 1000) {
      let batch = start..<min(count, start + 1000)
      if batch.count > 1 { body.append(0x28) }
      for value in batch { body += int(value) + int(value) }
      body.append(batch.count > 1 ? 0x75 : 0x73)
    }
    body.append(0x2e)
    return [0x80, 4, 0x95] + (0..<8).map { UInt8(truncatingIfNeeded: body.count >> (8 * $0)) } + body
  }

  @Test(arguments: [0, 1, 2, 999, 1000, 1001, 1002, 2000, 2001])
  func `A11: an OrderedDict is written in the batches that Python writes`(_ count: Int) throws {
    let pairs = (0..<count).map { (PickleValue($0), PickleValue($0)) }
    #expect(try PickleValue.orderedDict(pairs).pickled() == pythonOrderedDict(count))
    #expect(try PickleValue(pickle: pythonOrderedDict(count)).pickled() == pythonOrderedDict(count))
  }

  @Test func `A11: arrays of one type share its dtype`() throws {
    let one = try PickleValue.list([PickleValue(NumPyArray([1.5]))]).pickled()
    let arrays = (0..<100).map { PickleValue(NumPyArray([Double($0)])) }
    let many = try PickleValue.list(arrays).pickled()
    // Each array refers to the dtype that the first has written, in some 50 bytes.
    #expect(many.count < one.count + 99 * 45, "\(many.count) bytes, \(one.count) for one")
    let again = try PickleValue(pickle: many)
    #expect(again == .list(arrays))
    #expect(try again.pickled() == many)
  }

  // MARK: Times

  @Test func `the hour of a datetime has no fold, which is the month's, and an hour beyond 23 is refused`()
    throws
  {
    func dateTime(_ month: String, _ hour: String) throws -> PickleDateTime? {
      let hex =
        "8004" + "8c08" + hex("datetime") + "8c08" + hex("datetime") + "93"
        + "430a07e8\(month)01\(hour)0000000000"
      if case .dateTime(let value) = try value(hex + "85522e").content { return value }
      return nil
    }
    #expect(try dateTime("81", "01")?.time.isFold == true)
    #expect(try dateTime("01", "01")?.time.isFold == false)
    let error = #expect(throws: PickleError.self) { try dateTime("01", "81") }
    #expect(error?.found.hasPrefix("129:") == true)
  }

  // MARK: Equality

  @Test func `A15: zones of other names are other elements of a set`() throws {
    let offset = try #require(PickleTimeDelta(days: 0, seconds: 3600))
    let zones = try ["A", "B"].map { name in
      PickleValue(try #require(PickleTimeZone(offset: offset, name: name)))
    }
    #expect(zones[0] != zones[1])
    #expect(PickleValue.set([zones[0]]) != .set([zones[1]]))
    #expect(PickleValue.set([zones[0]]) == .set([zones[0]]))
    // In Python they are one key.
    #expect(PickleValue.set(zones).elements?.count == 1)
  }

  @Test func `A15: Decimals are compared by their text`() throws {
    let decimals = try ["1.0", "1.00", "1.0"].map { PickleValue(try #require(PickleDecimal($0))) }
    #expect(PickleValue.set(decimals + [1]).elements?.count == 3)
  }

  // MARK: Memory

  /// The objects that a reader has kept.
  final class Kept: Sendable {
    let objects = Guarded<[PickleObject]>([])
  }

  @Test func `A15: a reader that keeps every object is stopped at a fixed multiple of the pickle`() throws {
    let kept = Kept()
    let registry = PickleRegistry.standard.registering("m", "C") { object in
      kept.objects.withLock { $0.append(object) }
      return .none
    }
    // Each copy that a kept object takes is as large as the whole.
    func pickle(_ count: Int) -> [UInt8] {
      [0x80, 4, 0x5d, 0x28] + Array(repeatElement(Array("cm\nC\n)R".utf8), count: count).joined())
        + [0x65, 0x2e]
    }
    #expect(try PickleValue(pickle: pickle(10), registry: registry).elements?.count == 10)
    #expect(kept.objects.withLock { $0.count } == 10)
    #expect(kept.objects.withLock { $0.allSatisfy { $0.name == PickleName("m", "C") } })
    kept.objects.withLock { $0 = [] }
    let error = #expect(throws: PickleError.self) {
      try PickleValue(pickle: pickle(5000), registry: registry)
    }
    #expect(error?.kind == .limit)
    #expect(kept.objects.withLock { $0.count } < 1000)
    // One that keeps nothing may be called as often as it likes.
    let counted = PickleRegistry.standard.registering("m", "C") { object in object.arguments.isEmpty ? 7 : 8 }
    #expect(try PickleValue(pickle: pickle(5000), registry: counted).elements?.last == 7)
  }

  // MARK: Codable

  struct Sub: Decodable {
    enum Key: CodingKey { case own }
    init(from decoder: any Decoder) throws {
      _ = try decoder.container(keyedBy: Key.self).superDecoder()
    }
  }

  @Test func `A15: a missing super is an error, as with MessagePack`() throws {
    for direct in [true, false] {
      let error = try #require(throws: DecodingError.self) {
        let value: PickleValue = ["own": 1]
        _ =
          direct
          ? try PickleDecoder().decode(Sub.self, from: value.pickled())
          : try PickleDecoder().decode(Sub.self, from: value)
      }
      guard case .keyNotFound(let key, _) = error else { throw error }
      #expect(key.stringValue == "super")
    }
  }

  struct TwoContainers: Encodable {
    enum First: String, CodingKey { case id }
    enum Second: String, CodingKey { case other, id }
    func encode(to encoder: any Encoder) throws {
      var first = encoder.container(keyedBy: First.self)
      var second = encoder.container(keyedBy: Second.self)
      try first.encode(1, forKey: .id)
      try second.encode(2, forKey: .id)
    }
  }

  @Test func `A15: a key that is written through two containers is an error, and stands nowhere twice`() {
    #expect(throws: EncodingError.self) { try PickleEncoder().encode(TwoContainers()) }
    #expect(throws: EncodingError.self) {
      try PickleEncoder().encodeValue([TwoContainers(), TwoContainers()])
    }
  }

  struct Wrapper: Codable, Equatable {
    var table: [Int: String]
    init(_ table: [Int: String]) { self.table = table }
    init(from decoder: any Decoder) throws { table = try [Int: String](from: decoder) }
    func encode(to encoder: any Encoder) throws { try table.encode(to: encoder) }
  }

  @Test func `the keys of a dictionary that a type encodes by hand are str, and both forms are read`() throws
  {
    let wrapper = Wrapper([7: "a", -1: "b"])
    let value = try PickleEncoder().encodeValue(wrapper)
    #expect(value == ["7": "a", "-1": "b"] || value == ["-1": "b", "7": "a"])
    #expect(try PickleDecoder().decode(Wrapper.self, from: value) == wrapper)
    #expect(try PickleDecoder().decode(Wrapper.self, from: value.pickled()) == wrapper)
    let ints = try PickleEncoder().encodeValue(wrapper.table)
    #expect(ints == .dict([(7, "a"), (-1, "b")]))
    #expect(try PickleDecoder().decode(Wrapper.self, from: ints) == wrapper)
    #expect(try PickleDecoder().decode(Wrapper.self, from: ints.pickled()) == wrapper)
  }

  // MARK: Changing the framing

  /// A peer that is not Python, by hand: answers a challenge in bytes, and goes on with pickles.
  @Test
  func `case 20: after a handshake in bytes the same connection goes on with pickles, and no byte is lost`()
    async throws
  {
    let (left, right) = try makeSocketPair()
    let peer = MessageDuplex(over: right, framing: .multiprocessingBytes)
    // All in one piece, so that the first receive has read ahead what belongs to the framing after it.
    let request: PickleValue = ["id": 7]
    let pickle = try request.pickled()
    var frames: [UInt8] = []
    for message in [Array("#CHALLENGE#{sha256}nonce".utf8), Array("#WELCOME#".utf8), pickle, pickle] {
      frames += (0..<4).map { UInt8(truncatingIfNeeded: message.count >> (24 - 8 * $0)) } + message
    }
    _ = try await right.send(frames)
    let handshake = MessageDuplex(over: left, framing: .multiprocessingBytes)
    #expect(try await handshake.receive() == Array("#CHALLENGE#{sha256}nonce".utf8))
    try await handshake.send("{sha256}digest")
    #expect(try await peer.receive() == Array("{sha256}digest".utf8))
    #expect(try await handshake.receive() == Array("#WELCOME#".utf8))
    // An endpoint of another framing over the same connection.
    let values = MessageDuplex(over: left, framing: .multiprocessing)
    #expect(try await values.receive()["id"] == 7)
    // Or one that takes up the descriptor, and the bytes that were read ahead.
    let (descriptor, unread) = try values.detach().release()
    let adopted = try MessageDuplex(adopting: descriptor, unread: unread, framing: .multiprocessing)
    #expect(try await adopted.receive()["id"] == 7)
    try await adopted.send(["done": true])
    #expect(try PickleValue(pickle: try await peer.receive())["done"] == true)
  }
}

/// Texts of errors, which are shown in terminals and logs.
@Suite(.lastResort, .leavesNothing) struct PickleDescriptionTests {
  @Test func `the description of a dtype shows no control characters, and is short`() throws {
    let byte = try #require(NumPyType(.unsigned, byteCount: 1))
    let short = try #require(NumPyType(fields: [.init("a", byte, offset: 0)], byteCount: 1))
    #expect("\(short)" == "{a: |u1}")
    let name = "\u{1b}[2J\n" + "x" + String(repeating: "\u{301}", count: 10_000)
    var type = try #require(NumPyType(fields: [.init(name, byte, offset: 0)], byteCount: 1))
    #expect(!"\(type)".unicodeScalars.contains { $0.value < 0x20 })
    #expect("\(type)".utf8.count < 200)
    for level in 0..<7 {
      let fields = (0..<2).map { NumPyType.Field("\(level)\($0)" + name, type, offset: 0) }
      type = try #require(NumPyType(fields: fields, byteCount: 1))
    }
    #expect("\(type)".utf8.count < 2000)
  }
}
