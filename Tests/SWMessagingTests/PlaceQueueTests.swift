import SWIO
import SWTesting
import TestSupport
import Testing

@testable import SWMessaging

/// The queue of a half, beside two arrays that do the same.
@Suite(.lastResort, .leavesNothing) struct PlaceQueueTests {
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

  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func `places keep their order, whichever of them leave, stand aside and come back`(_ seed: UInt64) {
    let half = ReceiveHalf(Port(PlayedTransport(), for: .readable, reactor: ManualReactor()))
    var generator = Generator(state: seed)
    var queue = PlaceQueue()
    var (waiting, aside): ([Place], [Place]) = ([], [])
    for _ in 0..<300 {
      let new = Place(.task, in: half)
      switch Int.random(in: 0..<8, using: &generator) {
      case 0, 1:
        queue.append(new)
        waiting.append(new)
      case 2:
        queue.prepend(new)
        waiting.insert(new, at: 0)
      case 3:
        queue.putAside(new)
        aside.append(new)
      case 4:
        guard let place = (waiting + aside).randomElement(using: &generator) else { continue }
        queue.putAside(place)
        waiting.removeAll { $0 === place }
        aside.removeAll { $0 === place }
        aside.append(place)
      case 5:
        guard let place = (waiting + aside).randomElement(using: &generator) else { continue }
        queue.remove(place)
        waiting.removeAll { $0 === place }
        aside.removeAll { $0 === place }
        #expect(!place.isQueued && !place.isAside && place.following == nil)
        // It may come back.
        if Bool.random(using: &generator) {
          queue.append(place)
          waiting.append(place)
        }
      case 6:
        queue.returnAside()
        (waiting, aside) = (aside + waiting, [])
      default:
        let first = queue.removeFirst()
        let expected = aside.isEmpty ? (waiting.isEmpty ? nil : waiting.removeFirst()) : aside.removeFirst()
        #expect(first === expected)
      }
      var (found, foundAside): ([Place], [Place]) = ([], [])
      queue.visit { found.append($0) }
      queue.visitAside { foundAside.append($0) }
      #expect(Self.isSame(found, waiting) && Self.isSame(foundAside, aside))
      #expect(queue.count == waiting.count + aside.count)
      #expect(
        queue.first === waiting.first && queue.isEmpty == waiting.isEmpty && queue.hasAside != aside.isEmpty)
      #expect(zip(waiting, waiting.dropFirst()).allSatisfy { $0.following === $1 })
      #expect(waiting.allSatisfy { !$0.isAside } && aside.allSatisfy { $0.isAside })
      var front: [Place] = []
      queue.visit(first: 3) { front.append($0) }
      #expect(Self.isSame(front, Array(waiting.prefix(3))))
    }
    while queue.removeFirst() != nil {}
    half.close()
  }
}
