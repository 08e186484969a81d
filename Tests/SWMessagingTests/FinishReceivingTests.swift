import SWFraming
import SWIO
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// Receiving that ends when nothing is there, at the border of a message.
@Suite(.lastResort, .leavesNothing) struct FinishReceivingTests {
  @Test(arguments: [Place.Kind.task, .thread])
  func `a receiver that waits gets the end`(_ kind: Place.Kind) {
    let hand = HandDriven()
    let side = hand.side(.varInt)
    let call = hand.receive(side.request, as: kind)
    #expect(hand.result(call, side) == nil)
    hand.receiveHalf.finishReceiving()
    hand.reactor.drive()
    call.caller?.run()
    #expect(hand.result(call, side)?.error?.reason == .endOfStream)
    #expect(hand.result(hand.receive(side.request, as: kind), side)?.error?.reason == .endOfStream)
  }

  @Test func `what has arrived is received before the end, also by a call that cannot wait`() {
    let hand = HandDriven(receiving: [.bytes([1, 7, 1, 8]), .bytes([1, 9])])
    let side = hand.side(.varInt)
    hand.receiveHalf.finishReceiving()
    for number in 7...9 as ClosedRange<UInt8> {
      #expect(hand.result(hand.receive(side.request, mayWait: false), side)?.value == [number])
    }
    #expect(hand.result(hand.receive(side.request, mayWait: false), side)?.error?.reason == .endOfStream)
  }

  @Test func `a message that has begun is received whole`() {
    let hand = HandDriven(receiving: [.bytes([2, 7])])
    let side = hand.side(.varInt)
    let call = hand.receive(side.request)
    hand.receiveHalf.finishReceiving()
    hand.reactor.drive()
    #expect(hand.result(call, side) == nil)
    hand.bring(.bytes([8]))
    #expect(hand.result(call, side)?.value == [7, 8])
    #expect(hand.result(hand.receive(side.request), side)?.error?.reason == .endOfStream)
  }

  @Test func `a transport that has to write first is not idle`() {
    let hand = HandDriven(receiving: [.waitsFor(.writable), .waitsFor(.writable)])
    let side = hand.side(.varInt)
    hand.receiveHalf.finishReceiving()
    let call = hand.receive(side.request)
    #expect(hand.result(call, side) == nil)
    hand.bring(.bytes([1, 7]))
    #expect(hand.result(call, side)?.value == [7])
  }

  @Test(arguments: [SocketPairKind.unix, .tcp, .unixDatagrams, .unixPackets])
  func `a loop over the messages ends behind the last one`(_ kind: SocketPairKind) async throws {
    let (raw, peer) = try makeSocketPair(kind)
    let messages: MessageDuplex<VarIntFraming> = MessageDuplex(over: raw, framing: .varInt)
    let client = MessageDuplex(over: peer, framing: .varInt)
    let loop = Task {
      var received: [[UInt8]] = []
      for try await message in messages.messages {
        received.append(message)
        try await messages.send(message)
      }
      return received
    }
    for number in 0..<10 as Range<UInt8> {
      try await client.send([number])
      #expect(try await client.receive() == [number])
    }
    messages.finishReceiving()
    #expect(try await loop.value.count == 10)
    // It sends still.
    try await messages.send([77])
    #expect(try await client.receive() == [77])
  }

  @Test func `what comes after receiving has ended is not received`() {
    let hand = HandDriven()
    let side = hand.side(.varInt)
    let calls = [Place.Kind.task, .thread].map { hand.receive(side.request, as: $0) }
    hand.receiveHalf.finishReceiving()
    hand.reactor.drive()
    for call in calls {
      call.caller?.run()
      #expect(hand.result(call, side)?.error?.reason == .endOfStream)
    }
    hand.bring(.bytes([1, 7]))
    #expect(hand.result(hand.receive(side.request), side)?.error?.reason == .endOfStream)
  }

  @Test func `a pause is no end: what comes after it is received`() {
    let played = HandPlayed(
      PlayedTransport(receiving: [.retryLater, .transferred(2)]),
      reactor: ManualReactor(startingAt: Deadline(nanoseconds: 1)))
    played.receiving.finishReceiving()
    let call = played.receive()
    played.reactor.pass(Deadline(nanoseconds: 1_000_000_000))
    played.reactor.drive()
    #expect(played.outcome(call) == "[1, 2]")
    guard case .ended(.failed(let error)) = played.receiving.start(.upTo(1), as: .task, until: .never) else {
      Issue.record("nothing is left")
      return played.end()
    }
    #expect(error.reason == .endOfStream)
    played.end()
  }
}
