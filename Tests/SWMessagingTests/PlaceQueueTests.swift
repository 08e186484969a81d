import SWIO
import SWTesting
import TestSupport
import Testing

@testable import SWMessaging

/// The queue of a half, beside arrays that do the same.
@Suite(.lastResort, .leavesNothing) struct PlaceQueueTests {
  /// A place of a datagram, a flush or a half-close.
  // Invariant: used by one thread.
  private final class OrderedPlace: Place, @unchecked Sendable {
    let order: AsideOrder
    private var number: UInt64 = 0

    init(_ order: AsideOrder, in half: Half) {
      self.order = order
      super.init(.task, in: half)
    }

    override var asideOrder: AsideOrder { order }
    override var asideNumber: UInt64 {
      get { number }
      set { number = newValue }
    }
  }

  /// The queue in arrays, where each rule is a search.
  private struct Arrays {
    var waiting: [Place] = []
    /// In the order of the calls, with the lane of each.
    var aside: [(place: Place, lane: AsideOrder)] = []
    /// Those that have returned to the line, by lane.
    var returned: [AsideOrder: Place] = [:]

    /// The lane of flushes, half-closes and what comes after those.
    static let rest = AsideOrder.flush

    private var isBehindEnd: Bool { aside.contains { $0.place.asideOrder == .halfClose } }

    private func lane(of place: Place) -> AsideOrder? { returned.first { $0.value === place }?.key }

    func isFirst(_ place: Place) -> Bool {
      guard let lane = aside.first(where: { $0.place === place })?.lane else { return false }
      return returned[lane] == nil && aside.first { $0.lane == lane }?.place === place
    }

    func holdsBack(_ place: Place) -> Bool {
      if let lane = lane(of: place) {
        let others =
          aside.filter { $0.lane != Self.rest }.map { $0.place }
          + returned.filter { $0.key != Self.rest }.map { $0.value }
        return lane == Self.rest && others.contains { $0.asideNumber < place.asideNumber }
      }
      guard case .datagram = place.asideOrder else { return !aside.isEmpty || !returned.isEmpty }
      return isBehindEnd || returned[place.asideOrder] != nil
        || aside.contains { $0.lane == place.asideOrder }
    }

    mutating func putAside(_ place: Place) {
      waiting.removeAll { $0 === place }
      if let lane = lane(of: place) {
        returned[lane] = nil
        let index = aside.firstIndex { $0.place.asideNumber > place.asideNumber } ?? aside.count
        aside.insert((place, lane), at: index)
      } else {
        var lane = Self.rest
        if case .datagram = place.asideOrder, !isBehindEnd { lane = place.asideOrder }
        aside.append((place, lane))
      }
    }

    private mutating func returnFirst(of lane: AsideOrder) -> Place? {
      guard returned[lane] == nil, let index = aside.firstIndex(where: { $0.lane == lane }) else {
        return nil
      }
      returned[lane] = aside.remove(at: index).place
      return returned[lane]
    }

    mutating func remove(_ place: Place) {
      aside.removeAll { $0.place === place }
      waiting.removeAll { $0 === place }
      guard let lane = lane(of: place) else { return }
      returned[lane] = nil
      if let next = returnFirst(of: lane) { waiting.insert(next, at: 0) }
    }

    mutating func returnAside() {
      var places: [Place] = []
      for lane in Set(aside.map { $0.lane }) {
        if let place = returnFirst(of: lane) { places.append(place) }
      }
      waiting = places.sorted { $0.asideNumber < $1.asideNumber } + waiting
    }

    mutating func removeFirst() -> Place? {
      waiting = aside.map { $0.place } + waiting
      (aside, returned) = ([], [:])
      return waiting.isEmpty ? nil : waiting.removeFirst()
    }
  }

  /// A generator that gives the same numbers each time.
  private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
      mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
      return mixed ^ (mixed >> 31)
    }
  }

  private static func isSame(_ places: [Place], _ others: [Place]) -> Bool {
    places.count == others.count && zip(places, others).allSatisfy { $0 === $1 }
  }

  @Test(arguments: 1...30 as ClosedRange<UInt64>)
  func `places keep their order, whichever of them leave, stand aside and come back`(_ seed: UInt64) {
    let half = ReceiveHalf(Port(PlayedTransport(), for: .readable, reactor: ManualReactor()))
    var generator = Generator(state: seed)
    var queue = PlaceQueue()
    var arrays = Arrays()
    let addresses = [nil] + (0..<3).map { SocketAddress(abstractName: "\($0)") as SocketAddress? }
    for _ in 0..<300 {
      var order = AsideOrder.datagram(addresses.randomElement(using: &generator) ?? nil)
      switch Int.random(in: 0..<20, using: &generator) {
      case 0...1: order = .flush
      case 2: order = .halfClose
      default: break
      }
      let new = OrderedPlace(order, in: half)
      switch Int.random(in: 0..<16, using: &generator) {
      case 0...3:
        queue.append(new)
        arrays.waiting.append(new)
      case 4:
        queue.prepend(new)
        arrays.waiting.insert(new, at: 0)
      case 5...6:
        queue.putAside(new)
        arrays.putAside(new)
      case 7...9:
        guard let place = arrays.waiting.first else { continue }
        queue.putAside(place)
        arrays.putAside(place)
      case 10...12:
        guard
          let place = (arrays.waiting + arrays.aside.map { $0.place }).randomElement(using: &generator)
        else { continue }
        queue.remove(place)
        arrays.remove(place)
        #expect(!place.isQueued && !place.isAside && place.following == nil)
        // It may come back.
        if Bool.random(using: &generator) {
          queue.append(place)
          arrays.waiting.append(place)
        }
      case 13...14:
        queue.returnAside()
        arrays.returnAside()
      default:
        if Bool.random(using: &generator) { continue }
        let first = queue.removeFirst()
        #expect(first === arrays.removeFirst())
      }
      let (waiting, aside) = (arrays.waiting, arrays.aside.map { $0.place })
      var (found, foundAside): ([Place], [Place]) = ([], [])
      queue.visit { found.append($0) }
      queue.visitAside { foundAside.append($0) }
      #expect(Self.isSame(found, waiting) && Self.isSame(foundAside, aside))
      #expect(queue.count == waiting.count + aside.count)
      #expect(
        queue.first === waiting.first && queue.isEmpty == waiting.isEmpty && queue.hasAside != aside.isEmpty)
      #expect(zip(waiting, waiting.dropFirst()).allSatisfy { $0.following === $1 })
      #expect(waiting.allSatisfy { !$0.isAside } && aside.allSatisfy { $0.isAside })
      #expect((waiting + aside).allSatisfy { queue.waitsForPause($0) == arrays.isFirst($0) })
      #expect(queue.rests == aside.contains { arrays.isFirst($0) })
      if let head = waiting.first { #expect(queue.holdsBack(head) == arrays.holdsBack(head)) }
      var front: [Place] = []
      queue.visit(first: 3) { front.append($0) }
      #expect(Self.isSame(front, Array(waiting.prefix(3))))
    }
    while queue.removeFirst() != nil {}
    half.close()
  }

  @Test func `a place that has left a queue can come again, at either end`() {
    let half = ReceiveHalf(Port(PlayedTransport(), for: .readable, reactor: ManualReactor()))
    var queue = PlaceQueue()
    let places = (0..<3).map { _ in OrderedPlace(.datagram(nil), in: half) }
    func found(_ first: Int) -> [Int] {
      var found: [Int] = []
      queue.visit(first: first) { place in found.append(places.firstIndex { $0 === place } ?? -1) }
      return found
    }
    for place in places { queue.append(place) }
    #expect(found(0) == [] && found(1) == [0] && found(2) == [0, 1] && found(5) == [0, 1, 2])
    queue.remove(places[0])
    queue.append(places[0])
    #expect(found(5) == [1, 2, 0])
    queue.remove(places[2])
    queue.prepend(places[2])
    queue.remove(places[2])
    #expect(found(5) == [1, 0] && queue.count == 2)
    while queue.removeFirst() != nil {}
    half.close()
  }
}
