import SWFraming
import SWIO
import SWTesting
import Synchronization
import TestSupport
import Testing

@testable import SWMessaging

/// Payloads that are received into an array of their own, and what else is made of their bytes.
@Suite(.lastResort, .leavesNothing) struct LargeFrameTests {
  /// A header of four bytes, a payload, and a trailer.
  private struct Framed: ByteFraming {
    static let payloadCount = 40_000
    static let trailerCount = 4
    static let count = 4 + payloadCount + trailerCount

    struct Scanner: FrameScanner {
      mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
        .frame(byteCount: Framed.count, payload: 4..<4 + Framed.payloadCount)
      }
    }

    func makeScanner() -> Scanner { Scanner() }

    func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
      FrameEnvelope(header: [1, 2, 3, 4], trailer: [5, 6, 7, 8])
    }
  }

  /// Frames that end with a zero, and a count of the scanners that have looked at anything.
  private struct Counted: ByteFraming {
    final class Looks: Sendable { let count = Atomic(0) }

    struct Scanner: FrameScanner {
      let looks: Looks
      var isFresh = true

      mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
        if isFresh { looks.count.add(1, ordering: .relaxed) }
        isFresh = false
        for index in received.indices where received[index] == 0 {
          return .frame(byteCount: index + 1, payload: 0..<index)
        }
        return .atLeast(received.count + 1)
      }
    }

    let looks = Looks()
    func makeScanner() -> Scanner { Scanner(looks: looks) }
    func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
      FrameEnvelope(trailer: [0])
    }
  }

  @Test func `each call of a peer's long frame looks at what is new`() throws {
    let framing = Counted()
    let pair = try DescriptorPair.sockets(.unix)
    let peer = try SocketWriter(adopting: pair.first)
    let reader = try MessageReader(adopting: pair.second, framing: framing)
    try peer.blocking.send([1, 2])
    #expect(throws: EndpointError.self) { try reader.blocking.receive(timeout: .zero) }
    let before = framing.looks.count.load(ordering: .relaxed)
    for byte in [3, 4] as [UInt8] {
      try peer.blocking.send([byte])
      #expect(throws: EndpointError.self) { try reader.blocking.receive(timeout: .zero) }
    }
    #expect(framing.looks.count.load(ordering: .relaxed) == before)
    try peer.blocking.send([0])
    #expect(try reader.blocking.receive(timeout: .patience) == [1, 2, 3, 4])
    peer.close()
    reader.close()
  }

  private static let payload = (0..<Framed.payloadCount).map { UInt8(truncatingIfNeeded: $0) }
  private static let frame: [UInt8] = [1, 2, 3, 4] + payload + [5, 6, 7, 8]

  /// A half that has received the front of a frame, for a caller that has given up.
  private func begun(with count: Int) -> HandDriven {
    let hand = HandDriven(receiving: [.bytes(Array(Self.frame[..<count]))])
    let call = hand.receive(hand.side(Framed()).request)
    #expect(unsafe hand.receiveHalf.turn.isAssembled && hand.receiveHalf.turn.count == count)
    call.caller?.giveUp(.cancelled)
    hand.reactor.drive()
    return hand
  }

  @Test func `a frame of another framing is found among the bytes that are there`() {
    let hand = begun(with: 10_000)
    let side = hand.side(.fixedSize(50))
    #expect(hand.result(hand.receive(side.request), side)?.value == Array(Self.frame[..<50]))
  }

  @Test func `an endpoint of lines that knows an earlier line finds one inside a large frame`() {
    let hand = HandDriven(receiving: [.bytes([7, 10])])
    let lines = hand.side(.lines)
    #expect(hand.result(hand.receive(lines.request), lines)?.value == [7])
    let call = hand.receive(hand.side(Framed()).request)
    hand.bring(.bytes(Array(Self.frame[..<10_000])))
    #expect(unsafe hand.receiveHalf.turn.isAssembled)
    call.caller?.giveUp(.cancelled)
    // The payload begins with 0, 1, 2 and so on, and 10 ends the line.
    #expect(hand.result(hand.receive(lines.request), lines)?.value == [1, 2, 3, 4] + Array(0..<10))
  }

  @Test(arguments: [10_000, Framed.count - 2])
  func `a raw receive gets the bytes in their order, wherever the frame had come to`(_ count: Int) {
    let hand = begun(with: count)
    #expect(hand.bytes(hand.receive(.exactly(count))) == Array(Self.frame[..<count]))
    let other = begun(with: count)
    let call = other.receive(.exactly(Framed.count + 3))
    other.bring(.bytes(Array(Self.frame[count...] + [7, 7, 7])))
    #expect(other.bytes(call) == Self.frame + [7, 7, 7])
  }

  @Test func `an endpoint of lines that has seen the front of a large frame finds its line in the rest`() {
    let hand = HandDriven(receiving: [.bytes(Array(Self.frame[..<6]))])
    let lines = hand.side(.lines)
    let early = hand.receive(lines.request)
    early.caller?.giveUp(.timedOut)
    let call = hand.receive(hand.side(Framed()).request)
    hand.bring(.bytes(Array(Self.frame[6..<10_000])))
    #expect(unsafe hand.receiveHalf.turn.isAssembled)
    call.caller?.giveUp(.cancelled)
    #expect(hand.result(hand.receive(lines.request), lines)?.value == [1, 2, 3, 4] + Array(0..<10))
  }

  /// Both begin with the first byte.
  @Test func `a raw receive of a part of a large frame without a header gets that part`() {
    let hand = HandDriven(receiving: [.bytes(Array(Self.payload[..<10_000]))])
    let call = hand.receive(hand.side(.fixedSize(40_000)).request)
    #expect(unsafe hand.receiveHalf.turn.isAssembled)
    call.caller?.giveUp(.cancelled)
    #expect(hand.bytes(hand.receive(.exactly(5_000))) == Array(Self.payload[..<5_000]))
    #expect(hand.bytes(hand.receive(.exactly(5_000))) == Array(Self.payload[5_000..<10_000]))
  }

  @Test func `a batch does not go on inside a large frame that another endpoint has begun`() throws {
    // Its payload is whole, and half of its trailer is there.
    let hand = begun(with: Framed.count - 2)
    let source = try #require(hand.side(.lines).request.source)
    let front = unsafe hand.receiveHalf.goOn(behind: 0, for: source)
    #expect(unsafe front?.count == 0)
    hand.receiveHalf.leave(consuming: 0)
  }

  /// A framing whose last frame claims one byte more than has come.
  private struct Claiming: ByteFraming {
    struct Scanner: FrameScanner {
      mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
        .atLeast(received.count + 1)
      }
      mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
        .frame(.frame(byteCount: received.count + 1, payload: 0..<received.count))
      }
    }

    func makeScanner() -> Scanner { Scanner() }

    func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope { FrameEnvelope() }
  }

  @Test(arguments: [1, 2, 5]) func `a last frame has no more bytes than have come`(_ count: Int) {
    let hand = HandDriven(receiving: [.bytes(pattern(count)), .endOfStream])
    let side = hand.side(Claiming())
    guard case .framing(let error)? = hand.result(hand.receive(side.request), side)?.error?.reason else {
      Issue.record("it is taken")
      return
    }
    #expect(error.kind == .brokenScanner)
  }

  @Test(
    .defaultExecutor("on a worker of the library others have their turn after 256 KiB"),
    arguments: [Place.Kind.thread, .task])
  func `what is there for a caller is received in one go, however much it is`(_ kind: Place.Kind) {
    let bytes = pattern(1 << 20)
    let hand = HandDriven(receiving: [.bytes(bytes)])
    let call = hand.receive(.exactly(bytes.count), as: kind)
    guard case .ended = call else {
      Issue.record("it waits")
      return
    }
    #expect(hand.bytes(call) == bytes)
  }

  @Test func `a raw receive of a part takes no more than that part`() {
    let hand = begun(with: 10_000)
    let call = hand.receive(.exactly(20_000))
    hand.bring(.bytes(Array(Self.frame[10_000..<30_000])))
    #expect(hand.bytes(call) == Array(Self.frame[..<20_000]))
    #expect(unsafe hand.receiveHalf.turn.count == 0)
    #expect(hand.bytes(hand.receive(.exactly(10_000))) == Array(Self.frame[20_000..<30_000]))
  }

  @Test func `a large frame that is received whole leaves nothing of itself to those behind it`() {
    let hand = HandDriven(receiving: [.bytes(Array(Self.frame[..<10_000]))])
    let side = hand.side(Framed())
    for _ in 0..<2 {
      let call = hand.receive(side.request)
      hand.bring(.bytes(Array(Self.frame[10_000...])))
      #expect(hand.result(call, side)?.value == Self.payload)
      let behind = hand.receive(.exactly(3))
      hand.bring(.bytes([9, 8, 7] + Self.frame[..<10_000]))
      #expect(hand.bytes(behind) == [9, 8, 7])
    }
  }

  // MARK: The turn alone

  /// Has the turn make an attempt that brings as many bytes, all 7, as there is room for.
  private func bring(_ count: Int, to turn: inout ReceiveTurn, for demand: FrameDemand) {
    let outcome = unsafe turn.attempt(demand, for: .exactly(demand.byteCount)) { memory in
      unsafe memory.initializeMemory(as: UInt8.self, repeating: 7)
      return .transferred(min(count, memory.count))
    }
    #expect(outcome == .moved)
  }

  @Test func `payloads of 32 KiB and more have an array of their own, and smaller ones have not`() {
    for (size, isLarge) in [((32 << 10) - 1, false), (32 << 10, true)] {
      var turn = ReceiveTurn()
      bring(100, to: &turn, for: .frame(byteCount: size, payload: 0..<size))
      #expect(turn.isAssembled == isLarge && turn.count == 100)
    }
  }

  @Test func `a receive that fills its room may have left something, and a shorter one has probably not`() {
    let size = 100_000
    for (count, isShort) in [(size, false), (size - 1, true)] {
      var turn = ReceiveTurn()
      bring(count, to: &turn, for: .frame(byteCount: size, payload: 0..<size))
      // The array may be made in steps.
      while turn.count < count {
        bring(count - turn.count, to: &turn, for: .frame(byteCount: size, payload: 0..<size))
      }
      let isProbablyNone = if case .probablyNone = turn.rest { true } else { false }
      #expect(isProbablyNone == isShort)
    }
  }

  @Test func `what comes beside no bytes belongs to none`() {
    var turn = ReceiveTurn()
    bring(5, to: &turn, for: .frame(byteCount: 5, payload: 0..<5))
    turn.add(Ancillary(lostDescriptors: true), besideLast: 0, limit: 10)
    #expect(turn.takeAncillary(of: .frame(byteCount: 5, payload: 0..<5)) == nil)
  }

  @Test func `bytes that are consumed in the buffer take what came with them along`() {
    for isConsumed in [true, false] {
      var turn = ReceiveTurn()
      bring(5, to: &turn, for: .frame(byteCount: 5, payload: 0..<5))
      turn.add(Ancillary(lostDescriptors: true), besideLast: 2, limit: 10)
      turn.consume(buffered: isConsumed ? 5 : 3)
      let found = turn.takeAncillary(of: .frame(byteCount: 2, payload: 0..<2))
      #expect((found == nil) == isConsumed)
    }
  }

  @Test func `what is left is taken once`() {
    var stream = ReceiveTurn(unread: [1, 2, 3])
    #expect(stream.takeUnread() == [1, 2, 3] && stream.takeUnread().isEmpty && stream.count == 0)
    var datagrams = ReceiveTurn(unread: [1, 2, 3], carriesDatagrams: true)
    #expect(datagrams.takeUnread() == [1, 2, 3] && datagrams.holdsItem)
  }

  @Test func `items that are dropped are let go`() {
    final class Item: Sendable {}
    var turn = ReceiveTurn(carriesDatagrams: true)
    weak var first: Item?
    weak var second: Item?
    do {
      let items = (Item(), Item())
      (first, second) = items
      let outcome = turn.attemptItems { take in
        take(.value(items.0, stays: false))
        take(.value(items.1, stays: false))
        return .transferred(2)
      }
      #expect(outcome == .moved)
    }
    #expect(first != nil && second != nil)
    turn.dropAll()
    #expect(first == nil && second == nil)
    withExtendedLifetime(turn.count) {}
  }

  @Test func `each frame is searched from its first byte`() {
    let hand = HandDriven()
    let lines = hand.side(.lines)
    for pieces in [["abc", "def\n"], ["x\n"], ["\n"]] {
      let call = hand.receive(lines.request)
      for piece in pieces { hand.bring(.bytes(Array(piece.utf8))) }
      #expect(hand.result(call, lines)?.value == Array(pieces.joined().utf8.dropLast()))
    }
  }

  /// A framing whose only message is what is left at the end of the stream, if that is less than three bytes.
  private struct Leftover: ByteFraming {
    struct Scanner: FrameScanner {
      mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
        .atLeast(received.count + 1)
      }
      mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
        if received.count > 2 { return .incomplete }
        return .frame(.frame(byteCount: received.count, payload: 0..<received.count))
      }
    }

    func makeScanner() -> Scanner { Scanner() }

    func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope { FrameEnvelope() }
  }

  @Test func `the bytes at the end of the stream are asked about anew when some have been taken`() {
    let hand = HandDriven(receiving: [.bytes([1, 2, 3]), .endOfStream])
    let side = hand.side(Leftover())
    for _ in 0..<2 { #expect(hand.result(hand.receive(side.request), side)?.error?.reason == .truncated) }
    #expect(hand.bytes(hand.receive(.exactly(1))) == [1])
    #expect(hand.result(hand.receive(side.request), side)?.value == [2, 3])
  }

  @Test func `a frame of exactly the largest size is received, and a larger one is not`() {
    for (limit, isReceived) in [(6, true), (5, false)] {
      let hand = HandDriven(receiving: [.bytes([5, 1, 2, 3, 4, 5])])
      let side = MessageReader(
        core: hand.core, framing: .varInt, mode: .readAhead, maximumFrameSize: limit
      ).receivingSide
      let result = hand.result(hand.receive(side.request), side)
      #expect(result?.value == (isReceived ? [1, 2, 3, 4, 5] : nil))
      guard !isReceived else { continue }
      guard case .framing(let error)? = result?.error?.reason, case .tooLarge = error.kind else {
        Issue.record("\(String(describing: result))")
        continue
      }
    }
  }

  @Test func `a frame without an array of its own reserves no more than is trusted, whatever it declares`() {
    var turn = ReceiveTurn()
    bring(100, to: &turn, for: .frame(byteCount: 64 << 20, payload: 0..<10))
    #expect(!turn.isAssembled && turn.count == 100 && turn.capacity <= ReceiveBuffer.trustedSize)
  }

  @Test func `the bytes of a datagram count as held, and move to their receiver`() {
    var turn = ReceiveTurn(carriesDatagrams: true)
    let bytes = pattern(1_000)
    let place = unsafe bytes.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    let outcome = turn.attemptItems { take in
      take(.datagram(Datagram(bytes)))
      return .transferred(1_000)
    }
    #expect(outcome == .moved && turn.count == 1_000)
    let taken = turn.takePayload(of: .frame(byteCount: 1_000, payload: 0..<1_000))
    let takenPlace = unsafe taken.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    #expect(taken == bytes && takenPlace == place)
  }

  @Test func `an item that stays is there for every receiver`() {
    for stays in [true, false] {
      var turn = ReceiveTurn(carriesDatagrams: true)
      let outcome = turn.attemptItems { take in
        take(.value(7, stays: stays))
        return .transferred(1)
      }
      #expect(outcome == .moved)
      turn.consume(.atLeast(1))
      #expect(turn.holdsItem == stays && turn.position == (stays ? 0 : 1))
    }
  }

  @Test func `nothing is left of what is dropped, and no memory is held for it`() {
    var turn = ReceiveTurn(unread: [1, 2, 3])
    turn.add(Ancillary(lostDescriptors: true), besideLast: 2, limit: 10)
    #expect(turn.truncated() == [1, 2, 3])
    turn.dropAll()
    #expect(turn.count == 0 && turn.capacity == 0)
    bring(3, to: &turn, for: .frame(byteCount: 3, payload: 0..<3))
    #expect(turn.truncated() == [7, 7, 7])
    #expect(turn.takeAncillary(of: .frame(byteCount: 3, payload: 0..<3)) == nil)
    bring(100, to: &turn, for: .frame(byteCount: 40_000, payload: 0..<40_000))
    #expect(turn.isAssembled && turn.count == 103)
    turn.dropAll()
    #expect(!turn.isAssembled && turn.count == 0 && turn.capacity == 0)
  }
}
