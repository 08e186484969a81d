import SWIO
import SWMessaging
import SWTesting

/// A thread or a task that sends datagrams.
// Invariant: everything happens on the single thread of the simulation.
final class DatagramCaller: SimulatedCaller, @unchecked Sendable {
  private unowned let world: DatagramWorld
  private let sending: SendHalf
  private var callsLeft: Int
  /// The present call.
  private(set) var call = DatagramCall()

  init(_ world: DatagramWorld, index: Int, kind: Place.Kind, half: SendHalf, calls: Int) {
    self.world = world
    sending = half
    callsLeft = calls
    super.init(world, index: index, kind: kind, half: half, drains: false)
  }

  override func isReady(for polled: Readiness) -> Bool {
    polled.contains(.writable) && !world.end.isFull
  }
  override func noteWait(polls: Bool) { world.coverage.note(polls ? .threadPolls : .threadWaits) }
  override func losesWakeUp() -> Bool { world.makes(.dropsWakeUp) }
  override func losesResumption() -> Bool { world.makes(.dropsWakeUp) }

  /// Whether its datagram stands aside.
  var isAside: Bool { place.map { $0.isAside && !$0.isDecided } ?? false }

  override func begin() {
    guard callsLeft > 0 else {
      state = .done
      return
    }
    callsLeft -= 1
    let schedule = world.schedule
    var deadline = Deadline.never
    if world.chance(schedule.deadline) {
      deadline =
        world.chance(schedule.zeroDeadline) ? .immediately : world.clock(after: 1 + world.below(20))
    }
    newCall(until: deadline)
    call = world.newCall(isLate: deadline == .immediately, by: self)
    let start: SendHalf.Call
    if world.chance(schedule.flush) {
      call.isFlush = true
      world.trace("flushes", index, call.ticket)
      start = SendHalf.Call(Outgoing([]), as: kind, step: .flush, until: deadline)
    } else if world.chance(schedule.unaddressed) {
      call.datagrams = world.makeDatagrams(world.chance(schedule.batch) ? 2 + world.below(4) : 1)
      world.trace("sends", index, call.ticket)
      var borders: [Int] = []
      for datagram in call.datagrams { borders.append((borders.last ?? 0) + datagram.count) }
      if borders.count > 1 { world.coverage.note(.batch) } else { borders = [] }
      start = SendHalf.Call(
        Outgoing(Array(call.datagrams.joined()), borders: borders), as: kind, until: deadline)
    } else {
      call.datagrams = world.makeDatagrams(1)
      let peer = world.below(schedule.rooms.count)
      call.address = world.addresses[peer]
      world.trace("sends to a peer", index, call.ticket)
      var addressed = SendHalf.Call(Outgoing(call.datagrams[0]), as: kind, until: deadline)
      addressed.ancillary = OutgoingAncillary(address: call.address)
      start = addressed
    }
    world.begun(call)
    switch sending.start(start) {
    case .ended(let error): finish(error)
    case .queued(let place): queued(place)
    }
  }

  override func end(_ place: Place) {
    guard let place = place as? SendPlace else { return world.fail("it is no place to send at") }
    finish(place.error)
  }

  private func finish(_ error: EndpointError?) {
    state = .between
    world.ended(call, by: self, error)
  }
}
