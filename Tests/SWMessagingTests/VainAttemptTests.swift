import CSysShim
import Foundation
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// A task that would attempt in vain goes to wait at once: nothing was left, and nothing has stirred since. A
/// task that is wrong about that waits for ever.
@Suite(.lastResort, .leavesNothing) struct VainAttemptTests {
  // MARK: By hand

  /// A half whose last attempt, for a caller that has given up, found nothing.
  private func drained(then steps: [ScriptedTransport.ReceiveStep] = []) -> HandDriven {
    let hand = HandDriven(receiving: [.wouldBlock] + steps)
    let waiting = hand.receive(hand.side(.varInt).request)
    waiting.caller?.giveUp(.cancelled)
    hand.reactor.drive()
    #expect(hand.transport.receiveCount == 1)
    return hand
  }

  private func attempts(
    of hand: HandDriven, as kind: Place.Kind, _ timeout: Duration? = nil
  ) throws -> (count: Int, message: [UInt8]?, front: ReceiveHalf.Front) {
    let before = hand.transport.receiveCount
    var front = ReceiveHalf.Front.unseen
    let message = try hand.side(.varInt).messageAtOnce(&front, as: kind, CallLimit(timeout, .never))
    if message == nil {
      // The long way gives the turn back.
      _ = hand.receiveHalf.start(
        hand.side(.varInt).request, as: kind, until: .immediately, after: front)
    }
    return (hand.transport.receiveCount - before, message, front)
  }

  @Test func `an attempt that is known to be in vain is left out`() throws {
    let result = try attempts(of: drained(), as: .task)
    #expect(result.front == .blocked)
    #expect(result.message == nil)
    #expect(result.count == 0)
  }

  @Test func `a call that cannot wait, and a thread, has its attempt`() throws {
    #expect(try attempts(of: drained(), as: .task, .zero).count == 1)
    #expect(try attempts(of: drained(), as: .thread).count == 1)
  }

  @Test func `the attempt that was left out is made before the deadline ends the call`() throws {
    for brings in [false, true] {
      // The data was not signalled, or the reactor has not reported it yet.
      let hand = drained(then: brings ? [.bytes([1, 7])] : [])
      let side = hand.side(.varInt)
      let before = hand.transport.receiveCount
      var front = ReceiveHalf.Front.unseen
      #expect(try side.messageAtOnce(&front, as: .task, CallLimit(.seconds(1), .never)) == nil)
      #expect(front == .blocked)
      let call: HandStarted<ReceiveHalf.Outcome> =
        switch hand.receiveHalf.start(side.request, as: .task, until: .after(.seconds(1)), after: front) {
        case .ended(let outcome): .ended(outcome)
        case .queued(let place): .waiting(HandCaller(place, in: hand.receiveHalf))
        }
      #expect(hand.transport.receiveCount == before)
      call.caller?.place.deadlinePassed()
      #expect(hand.transport.receiveCount == before + 1)
      #expect(!hand.reactor.isCalled, "the attempt has been made")
      #expect(hand.result(call, side)?.value == (brings ? [7] : nil))
      #expect(hand.result(call, side)?.error?.reason == (brings ? nil : .timedOut))
      #expect(hand.receiveHalf.inspect { $0.queue.isEmpty && !$0.turn && !$0.called })
    }
  }

  @Test func `an owed attempt that is left to a helper holds nobody beyond the deadline`() throws {
    for brings in [false, true] {
      let hand = drained(then: [.offload] + (brings ? [.bytes([1, 7])] : []))
      let side = hand.side(.varInt)
      var front = ReceiveHalf.Front.unseen
      #expect(try side.messageAtOnce(&front, as: .task, CallLimit(.seconds(1), .never)) == nil)
      #expect(front == .blocked)
      guard
        case .queued(let place) = hand.receiveHalf.start(
          side.request, as: .task, until: .after(.seconds(1)), after: front)
      else {
        Issue.record("nothing is there, and the call ends")
        return
      }
      let call = HandStarted<ReceiveHalf.Outcome>.waiting(HandCaller(place, in: hand.receiveHalf))
      let behind = hand.receive(side.request)
      #expect(hand.receiveHalf.inspect { $0.turn })
      place.deadlinePassed()
      #expect(hand.result(call, side)?.error?.reason == .timedOut)
      #expect(hand.reactor.help())
      // Nothing is lost: it comes to the call behind.
      #expect(hand.result(behind, side)?.value == (brings ? [7] : nil))
      behind.caller?.giveUp(.cancelled)
      hand.reactor.drive()
      #expect(hand.receiveHalf.inspect { $0.queue.isEmpty && !$0.turn && !$0.called })
    }
  }

  @Test func `a thread that finds nothing four times polls first, and makes each 33rd attempt`() throws {
    let transport = try EmptyTransport()
    let half = ReceiveHalf(Port(connected: transport, for: .readable, reactor: ManualReactor()))
    let core = EndpointCore(receiving: half, sending: nil)
    let side = core.side(.varInt)
    var attempts: [Int] = []
    for call in 1...70 {
      let before = transport.receiveCount
      var front = ReceiveHalf.Front.unseen
      #expect(try side.messageAtOnce(&front, as: .thread, CallLimit(.seconds(1), .never)) == nil)
      #expect(front == .blocked)
      // The long way gives the turn back.
      _ = half.start(side.request, as: .thread, until: .immediately, after: front)
      if transport.receiveCount > before { attempts.append(call) }
    }
    #expect(attempts == [1, 2, 3, 4, 37, 70])
    half.close()
  }

  @Test func `a thread makes the attempt that was left out before the deadline ends its call`() throws {
    let transport = try EmptyTransport()
    let half = ReceiveHalf(Port(connected: transport, for: .readable, reactor: ManualReactor()))
    let core = EndpointCore(receiving: half, sending: nil)
    let side = core.side(.varInt)
    for call in 1...5 {
      let before = transport.receiveCount
      var front = ReceiveHalf.Front.unseen
      #expect(try side.messageAtOnce(&front, as: .thread, CallLimit(.seconds(1), .never)) == nil)
      guard case .queued(let place) = half.start(side.request, as: .thread, until: .never, after: front)
      else {
        Issue.record("nothing is there")
        return
      }
      let count = transport.receiveCount
      #expect(count == before + (call < 5 ? 1 : 0))
      let wakeUp = WakeUp {}
      #expect(half.look(place, wakeUp, isLate: true) == .drive)
      half.drive(as: place, first: false)
      #expect(half.look(place, wakeUp, isLate: true) == .decided)
      #expect(transport.receiveCount == count + 1)
    }
    half.close()
  }

  @Test func `what has come since is not missed`() throws {
    let hand = drained()
    hand.bring(.bytes([1, 7]), .bytes([1, 8]))
    #expect(try attempts(of: hand, as: .task).message == [7])
    // That attempt did not fill its room, and yet there is more: who may stop short is not believed to be empty.
    #expect(try attempts(of: hand, as: .task).message == [8])
    #expect(try attempts(of: hand, as: .task).count == 1)
    #expect(try attempts(of: hand, as: .task).count == 0)
  }

  @Test(.timeLimit(.minutes(1)))
  func `a thread does not poll for what a transport has taken in already`() throws {
    let pair = try DescriptorPair.sockets()
    let writer = try SocketWriter(adopting: pair.second)
    let reader = MessageReader(transport: HoardingTransport(pair.first), framing: .varInt)
    for _ in 0..<6 {
      #expect(blockingError { try reader.blocking.receive(timeout: .milliseconds(1)) } != nil)
    }
    _ = try writer.withDescriptor { try $0.writeAll([1, 7, 1, 8]) }
    #expect(try reader.blocking.receive(timeout: .patience) == [7])
    // The descriptor has nothing any more.
    #expect(try reader.blocking.receive(timeout: .patience) == [8])
  }

  // MARK: On descriptors

  /// A flag that goes up when the reactor hears of a descriptor.
  private final class Bell: ReadinessReceiver {
    let rings = Atomic(false)
    func readinessChanged(_ readiness: Readiness, mayDrive: Bool) { rings.store(true, ordering: .releasing) }
  }

  /// Returns when the reactor has reported all events that the kernel has reported to it until now.
  private func awaitReactor() throws {
    let pair = try DescriptorPair.pipe()
    let number = pair.first.withDescriptor { $0.rawValue }
    let bell = Bell()
    guard case .registered(let id) = Reactor.shared.register(number, for: bell, watching: .readable) else {
      Issue.record("a pipe can be watched")
      return
    }
    defer { Reactor.shared.deregister(id, descriptor: number) }
    _ = try pair.second.withDescriptor { try $0.writeAll([1]) }
    let limit = Deadline.after(.patience)
    while !bell.rings.load(ordering: .acquiring), !limit.hasPassed { sched_yield() }
    let isRung = bell.rings.load(ordering: .acquiring)
    #expect(isRung)
  }

  /// Brings a reader to where the reactor watches for it, lets `write` write two messages while the reader's turn
  /// is held, and has both received: nothing but the reader's own attempts brings them.
  private func receiveBoth(
    _ reader: MessageReader<VarIntFraming>, _ writer: SocketWriter, _ write: (Int32) -> Void
  ) async throws {
    let first = Task { try await reader.receive() }
    await eventually { reader.queued == 1 }
    // Two at once: the second waits in the buffer, and no edge comes while nobody is there.
    _ = try writer.withDescriptor { try $0.writeAll([1, 0, 1, 1]) }
    #expect(try await first.value == [0])
    // The first receiver is resumed while the reactor has the turn. With the turn still there, the next caller would
    // queue, and the reactor would bring the messages instead of the caller's own attempt.
    await eventually { reader.core.receiving?.inspect { !$0.turn } ?? false }
    try await reader.withMessage { message in
      #expect(message[0] == 1)
      try writer.withDescriptor { write($0.rawValue) }
      try awaitReactor()
    }
    for number in 2...3 as ClosedRange<UInt8> {
      let isDone = Guarded(false)
      let receiving = Task {
        defer { isDone.withLock { $0 = true } }
        return try await reader.receive()
      }
      await eventually { isDone.withLock { $0 } || reader.queued == 1 }
      #expect(reader.queued == 0, "it waits for what is there")
      receiving.cancel()
      #expect(try await receiving.value == [number])
    }
  }

  @Test func `urgent data, where a read stops short, hides nothing behind it`() async throws {
    let pair = try DescriptorPair.sockets(.tcp)
    let receiving = pair.first
    let writer = try SocketWriter(adopting: pair.second)
    let reader = try MessageReader(adopting: receiving, framing: .varInt)
    try await receiveBoth(reader, writer) { number in
      for (bytes, flags) in [([1, 2], 0), ([0xff], Int32(MSG_OOB)), ([1, 3], 0)]
        as [([UInt8], Int32)]
      {
        #expect(
          unsafe bytes.withUnsafeBytes { unsafe Glibc.send(number, $0.baseAddress, $0.count, flags) } > 0)
      }
    }
  }

  @Test func `a packet that does not fill its room is not the last one in a pipe`() async throws {
    let pair = try packetPipe(declared: false)
    let receiving = pair.first
    let writer = try SocketWriter(adopting: pair.second)
    let reader = try MessageReader(adopting: receiving, framing: .varInt)
    try await receiveBoth(reader, writer) { number in
      for bytes in [[1, 2], [1, 3]] as [[UInt8]] {
        let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(number, $0.baseAddress, $0.count) }
        #expect(count == 2)
      }
    }
  }

  @Test func `what came to a socket during the turn is found`() async throws {
    let pair = try DescriptorPair.sockets()
    let receiving = pair.first
    let writer = try SocketWriter(adopting: pair.second)
    let reader = try MessageReader(adopting: receiving, framing: .varInt)
    try await receiveBoth(reader, writer) { number in
      let bytes: [UInt8] = [1, 2, 1, 3]
      let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(number, $0.baseAddress, $0.count) }
      #expect(count == 4)
    }
  }

  @Test(.timeLimit(.minutes(1)))
  func `a thread does not poll for the rest of a packet`() throws {
    let pair = try packetPipe(declared: true)
    let writer = try SocketWriter(adopting: pair.second)
    let raw = try SocketReader(adopting: pair.first)
    let messages = MessageReader(over: raw, framing: .varInt)
    for _ in 0..<6 {
      #expect(blockingError { try messages.blocking.receive(timeout: .milliseconds(1)) } != nil)
    }
    _ = try writer.withDescriptor { try $0.writeAll([1, 2, 3, 4, 2, 8, 8]) }
    #expect(try raw.blocking.receive(exactly: 4, timeout: .patience) == [1, 2, 3, 4])
    #expect(try messages.blocking.receive(timeout: .patience) == [8, 8])
  }

  @Test(arguments: [2, 10])
  func `a task leaves its attempt out if the last one did not fill its room, and only then`(_ room: Int)
    throws
  {
    let played = HandPlayed(PlayedTransport(drains: true))
    let side = played.core.side(.varInt)
    let first = played.receive(.upTo(room))
    played.transport.append(receiving: .transferred(2))
    played.transport.raise(.readable)
    played.reactor.drive()
    #expect(played.outcome(first) == "[1, 2]")
    let before = played.transport.count("receive")
    var front = ReceiveHalf.Front.unseen
    #expect(try side.messageAtOnce(&front, as: .task, CallLimit(nil, .never)) == nil)
    #expect(front == .blocked)
    #expect(played.transport.count("receive") == before + (room == 2 ? 1 : 0))
    // The long way gives the turn back.
    _ = played.receiving.start(side.request, as: .task, until: .immediately, after: front)
    played.end()
  }

  @Test func `an attempt that is to be repeated after a pause says nothing about what is left`() throws {
    let played = HandPlayed(
      PlayedTransport(receiving: [.retryLater, .retryLater, .transferred(2)], drains: true),
      reactor: ManualReactor(startingAt: Deadline(nanoseconds: 1)))
    let first = played.receive()
    played.transport.meanwhile { first?.giveUp(.cancelled) }
    played.reactor.pass(Deadline(nanoseconds: 1_000_000_000))
    played.reactor.drive()
    #expect(played.outcome(first) == "cancelled" && played.transport.count("receive") == 2)
    #expect(played.receiving.inspect { $0.retryAt == nil && !$0.stirred && !$0.turn })
    var front = ReceiveHalf.Front.unseen
    #expect(try played.core.side(.varInt).messageAtOnce(&front, as: .task, CallLimit(nil, .never)) == [2])
    played.end()
  }

  @Test func `an attempt that was made after all is owed no more`() throws {
    let hand = drained()
    let side = hand.side(.varInt)
    let before = hand.transport.receiveCount
    var front = ReceiveHalf.Front.unseen
    #expect(try side.messageAtOnce(&front, as: .task, CallLimit(.seconds(1), .never)) == nil)
    #expect(front == .blocked && hand.transport.receiveCount == before)
    // The attempt that was left out is made because of this.
    hand.receiveHalf.stir()
    guard
      case .queued(let place) = hand.receiveHalf.start(
        side.request, as: .task, until: .after(.seconds(1_000)), after: front)
    else {
      Issue.record("nothing is there")
      return
    }
    let caller = HandCaller(place, in: hand.receiveHalf)
    #expect(hand.transport.receiveCount == before + 1)
    place.deadlinePassed()
    #expect(caller.isDecided && hand.transport.receiveCount == before + 1)
    hand.reactor.drive()
  }

  @Test func `only threads poll first because threads have found nothing`() throws {
    let transport = try EmptyTransport()
    let half = ReceiveHalf(Port(connected: transport, for: .readable, reactor: ManualReactor()))
    let core = EndpointCore(receiving: half, sending: nil)
    let side = core.side(.varInt)
    for call in 1...5 {
      let kind: Place.Kind = call < 5 ? .thread : .task
      var front = ReceiveHalf.Front.unseen
      #expect(try side.messageAtOnce(&front, as: kind, CallLimit(.seconds(1), .never)) == nil)
      #expect(front == .blocked && transport.receiveCount == call)
      _ = half.start(side.request, as: kind, until: .immediately, after: front)
    }
    withExtendedLifetime(core) { half.close() }
  }

  @Test func `a thread whose attempt brought something makes the next four attempts`() throws {
    let pair = try DescriptorPair.sockets()
    let core = try EndpointCore(
      adopting: pair.first.release().rawValue, for: [.readable, .writable], reactor: ManualReactor())
    let half = try #require(core.receiving)
    let side = core.side(.varInt)
    let writer = try SocketWriter(adopting: pair.second)
    func receive() throws -> [UInt8]? {
      var front = ReceiveHalf.Front.unseen
      let message = try side.messageAtOnce(&front, as: .thread, CallLimit(.seconds(1), .never))
      if message == nil { _ = half.start(side.request, as: .thread, until: .immediately, after: front) }
      return message
    }
    _ = try writer.withDescriptor { try $0.writeAll([1, 7]) }
    #expect(try receive() == [7])
    for _ in 0..<3 { #expect(try receive() == nil) }
    _ = try writer.withDescriptor { try $0.writeAll([1, 8]) }
    #expect(try receive() == [8])
    half.close()
    core.sending?.close()
  }
}

/// A transport that takes in all that its socket has, as TLS does, and hands out two bytes an attempt.
private final class HoardingTransport: SocketLike {
  private let socket: OwnedDescriptor
  private let hoard = Guarded<[UInt8]>([])

  init(_ socket: consuming OwnedDescriptor) { self.socket = socket }

  var readinessSource: ReadinessSource { socket.withDescriptor { .descriptor($0) } }

  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    hoard.withLock { hoard in
      if hoard.isEmpty {
        var block = [UInt8](repeating: 0, count: 100)
        let count = socket.withDescriptor { number in
          unsafe Glibc.recv(number.rawValue, &block, block.count, Int32(MSG_DONTWAIT))
        }
        if count < 0 { return .wouldBlock }
        if count == 0 { return .endOfStream }
        hoard += block[..<count]
      }
      let count = min(2, hoard.count, memory.count)
      unsafe memory.copyBytes(from: hoard[..<count])
      hoard.removeFirst(count)
      return .transferred(count)
    }
  }

  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { .wouldBlock }
  func finishSending() throws(TransportError) {}
  func close() {}
}
