import Foundation
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Attempts that wait for the other direction, for a signal alone, or for a disk.
@Suite(.lastResort, .leavesNothing) struct CrossingTests {
  static let frame: [UInt8] = [2, 20, 21]

  @Test(arguments: [Place.Kind.task, .thread])
  func `a receive that has to write first gets on when writing is possible`(_ kind: Place.Kind) {
    let hand = HandDriven(receiving: [.waitsFor(.writable), .waitsFor(.writable)])
    let side = hand.side(.varInt)
    let call = hand.receive(side.request, as: kind)
    #expect(hand.result(call, side) == nil)
    // The first to cross is tried twice: what was signalled before went to the other half.
    #expect(hand.transport.receiveCount == 2)
    hand.transport.append(sending: [.accept(100)])  // raises `writable`
    hand.reactor.drive()
    if kind == .thread { call.caller?.run() }
    #expect(hand.transport.receiveCount > 2)
    hand.bring(.bytes(Self.frame))
    if kind == .thread { call.caller?.run() }
    #expect(hand.result(call, side)?.value == [20, 21])
  }

  @Test func `a send that has to read first gets on when reading is possible`() {
    let hand = HandDriven(sending: [.waitsFor(.readable), .waitsFor(.readable)])
    let call = hand.send(Self.frame)
    #expect(hand.result(call) == nil)
    hand.transport.append(sending: [.accept(100)])
    #expect(hand.transport.sendCount == 2)
    hand.transport.raise(.readable)
    hand.reactor.drive()
    #expect(hand.result(call)?.value != nil)
    #expect(hand.transport.sent == Self.frame)
  }

  @Test func `what one half's attempt has done wakes the other, which waits crosswise`() {
    let hand = HandDriven(sending: [.waitsFor(.readable), .waitsFor(.readable), .accept(100)])
    let call = hand.send(Self.frame)
    #expect(hand.result(call) == nil)
    // The renegotiation is read by a receive, and no readiness will ever tell the sender.
    let side = hand.side(.varInt)
    _ = hand.receive(side.request)
    hand.reactor.drive()
    #expect(hand.result(call)?.value != nil)
  }

  @Test func `what a send's attempt has done wakes a receive that waits crosswise`() {
    let hand = HandDriven(
      receiving: [.waitsFor(.writable), .waitsFor(.writable), .bytes(Self.frame)], sending: [.accept(100)])
    let side = hand.side(.varInt)
    let call = hand.receive(side.request)
    #expect(hand.result(call, side) == nil)
    #expect(hand.result(hand.send(Self.frame))?.value != nil)
    hand.reactor.drive()
    #expect(hand.result(call, side)?.value == [20, 21])
  }

  @Test func `a signal that comes before a receive has said that it waits crosswise is not lost to it`()
    throws
  {
    let script = ScriptedTransport(
      receiving: [.waitsFor(.writable), .bytes(Self.frame)], sending: [.wouldBlock, .waitsFor([])])
    let transport = Interrupted(script)
    let reactor = ManualReactor()
    let core = EndpointCore(transport, for: [.readable, .writable], reactor: reactor)
    guard let receiving = core.receiving, let sending = core.sending else { return }
    // The receive's attempt has ended and is not known of yet. Now its signal comes, and a sender is the first to wait
    // for something unusual.
    transport.afterReceive = {
      transport.afterReceive = nil
      _ = sending.start(SendHalf.Call(Outgoing(Self.frame), as: .task, until: .never))
      script.raise(.writable)
      reactor.drive()
    }
    let side = core.side(.varInt)
    let outcome = receiving.start(side.request, as: .task, until: .never)
    reactor.drive()
    #expect(script.sendCount >= 2)
    #expect(script.receiveCount == 2)
    guard case .ended(let received) = outcome else {
      Issue.record("the frame was there, and the receive waits")
      return
    }
    #expect(try side.message(received) == [20, 21])
    transport.afterReceive = nil
    receiving.close()
    sending.close()
    reactor.drive()
    #expect(script.isClosed)
  }

  /// A script in which others come between the end of an attempt to receive and what is made of it.
  // Invariant: used by one thread.
  final class Interrupted: SocketLike, @unchecked Sendable {
    private let script: ScriptedTransport
    var afterReceive: (() -> Void)?

    init(_ script: ScriptedTransport) { self.script = script }

    var readinessSource: ReadinessSource { .signal }
    func attach(_ signal: ReadinessSignal) { script.attach(signal) }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { unsafe script.send(bytes) }
    func finishSending() throws(TransportError) { script.finishSending() }
    func close() { script.close() }

    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      let attempt = unsafe script.receive(into: memory)
      afterReceive?()
      return attempt
    }
  }

  @Test func `halves that both wait crosswise do not keep each other busy`() {
    let hand = HandDriven(
      receiving: Array(repeating: .waitsFor(.writable), count: 50),
      sending: Array(repeating: .waitsFor(.readable), count: 50))
    let side = hand.side(.varInt)
    _ = hand.send(Self.frame)
    _ = hand.receive(side.request)
    hand.reactor.drive()
    #expect(hand.transport.receiveCount < 6)
    #expect(hand.transport.sendCount < 6)
  }

  @Test func `a thread that polls hears that another one's attempt waits for the other direction`() {
    let attempts: [Attempt] = [.wouldBlock] + Array(repeating: .waitsFor(.writable), count: 10)
    let played = HandPlayed(PlayedTransport(receiving: attempts, source: .descriptor(.standardError)))
    let first = played.receive(as: .thread)
    #expect(first?.place.polledInterest == .readable && first?.isWoken == false)
    _ = played.receive(as: .thread)
    #expect(first?.isWoken == true)
    first?.run()
    #expect(first?.place.polledInterest == .writable)
    played.end()
    first?.run()
  }

  @Test func `a task's attempt that may take long is made by a helper, a thread's by itself`() {
    let thread = HandDriven(receiving: [.offload, .bytes(Self.frame)])
    let side = thread.side(.varInt)
    #expect(thread.result(thread.receive(side.request, as: .thread), side)?.value == [20, 21])

    for mayWait in [true, false] {
      let hand = HandDriven(receiving: [.offload, .bytes(Self.frame)])
      let side = hand.side(.varInt)
      let call = hand.receive(side.request, as: .task, mayWait: mayWait)
      #expect(hand.result(call, side) == nil)
      if !mayWait { call.caller?.giveUp(.timedOut) }
      #expect(hand.reactor.help())
      #expect(hand.result(call, side)?.value == [20, 21])
      #expect(hand.receiveHalf.inspect { $0.queue.isEmpty && !$0.turn })
    }
  }

  @Test func `a send that may take long goes out by a helper, whole`() {
    let hand = HandDriven(sending: [.accept(1), .offload, .accept(100)])
    let call = hand.send(Self.frame)
    #expect(hand.result(call) == nil)
    #expect(hand.reactor.help())
    #expect(hand.result(call)?.value != nil)
    #expect(hand.transport.sent == Self.frame)
  }

  @Test func `closed while a helper has the turn, everybody is told and the transport is closed after it`() {
    let hand = HandDriven(receiving: [.offload, .bytes(Self.frame)])
    let side = hand.side(.varInt)
    let call = hand.receive(side.request)
    hand.receiveHalf.close()
    hand.sendHalf.close()
    #expect(hand.result(call, side)?.error?.reason == .closed)
    #expect(!hand.transport.isClosed)
    #expect(hand.reactor.help())
    #expect(hand.transport.isClosed)
  }

  @Test func `without a thread to be had a task's attempt fails, and the next may not`() {
    let hand = HandDriven(receiving: [.offload, .bytes(Self.frame)])
    let side = hand.side(.varInt)
    hand.reactor.refuseHelp(.resourceTemporarilyUnavailable)
    let error = hand.result(hand.receive(side.request), side)?.error
    #expect(error?.reason == .transport(TransportError(.offload, .resourceTemporarilyUnavailable)))
    #expect(hand.result(hand.receive(side.request), side)?.value == [20, 21])
  }

  @Test func `line 12: fault 16: nothing is where nothing is to be waited for: /dev/null, async`()
    async throws
  {
    let descriptor = try unsafe FileDescriptor.open("/dev/null", .readWrite)
    let null = try SocketDuplex(adopting: descriptor)
    #expect(try await null.send(pattern(200_000)) == 200_000)
    #expect(await endpointError { try await null.receive() }?.reason == .endOfStream)
  }

  @Test func `an endpoint asks its transport for the inheritance flag`() throws {
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { $0 }
    let endpoint = SocketDuplex(transport: try SystemTransport(adopting: pair.first))
    #expect(!endpoint.isInheritable)
    endpoint.isInheritable = true
    #expect(endpoint.isInheritable)
    #expect(try OwnedDescriptor.isInheritable(number.rawValue))
    endpoint.close()
    #expect(!endpoint.isInheritable)
  }

  @Test func `line 12: fault 16: large messages go to a file and come from it, async, by helpers`()
    async throws
  {
    let path = FileManager.default.temporaryDirectory.appending(path: "sw-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let messages = [pattern(10), pattern(3_000_000), pattern(100_000), [], pattern(66_000)]
    let output = try unsafe FileDescriptor.open(
      path, .writeOnly, options: [.create, .exclusiveCreate], permissions: .ownerReadWrite)
    let writer = try MessageWriter(adopting: output, framing: .varInt)
    for message in messages { try await writer.send(message) }
    writer.close()
    let input = try unsafe FileDescriptor.open(path, .readOnly)
    let reader = try MessageReader(adopting: input, framing: .varInt)
    for message in messages { #expect(try await reader.receive() == message) }
    #expect(try await reader.next() == nil)
  }

  @Test func `a half that has waited for the other direction waits for its own again`() throws {
    let attempts: [Attempt] = [.waitsFor(.writable), .waitsFor(.writable), .wouldBlock]
    let played = HandPlayed(PlayedTransport(receiving: attempts, source: .descriptor(.standardError)))
    let first = try #require(played.receive(as: .thread))
    #expect(first.place.polledInterest == .writable && !first.isWoken)
    // The attempt of another caller would block as usual.
    _ = played.receive(as: .thread)
    #expect(first.isWoken)
    first.run()
    #expect(first.place.polledInterest == .readable)
    played.end()
    first.run()
  }
}
