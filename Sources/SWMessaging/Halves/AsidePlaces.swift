internal import SWIO

/// The places that a place stands behind while they stand aside.
package enum AsideOrder: Hashable, Sendable {
  /// A datagram: behind those to the same destination. Nil is the peer that the socket is connected to.
  case datagram(SocketAddress?)
  /// A flush: behind everything.
  case flush
  /// A half-close: behind everything, and everything behind it.
  case halfClose
}

/// The places that stand aside. They are kept by destination, so that a pause costs one attempt for each destination, however
/// many datagrams wait for it.
///
///     lane   the datagrams to one destination
///     rest   flushes and half-closes, and everything that was called after a half-close
///
/// When a pause ends, the first place of each lane, and of the rest, returns to the line. If it has to wait again, it is the
/// first of its lane again. If it leaves the line, the next place of its lane takes its place there.
///
/// Invariants: a place stands aside in one lane, or in the rest, in the order of the calls. `returned` of a lane is the
/// number of its place that is in line, and then that place came before all others of the lane. A lane that has no place is
/// removed.
// Invariant: the half's lock guards it, like the rest of the half's state.
final class AsidePlaces: @unchecked Sendable {
  private struct Lane {
    var places = PlaceList()
    /// The number of the place that has returned to the line.
    var returned: UInt64?

    /// The number of the first place that has not left.
    var oldest: UInt64? { returned ?? places.first?.asideNumber }
    /// Whether its first place waits for the end of the pause.
    var rests: Bool { returned == nil && places.first != nil }
    var isOver: Bool { returned == nil && places.first == nil }
  }

  private var lanes: [SocketAddress?: Lane] = [:]
  private var rest = Lane()
  /// The number of places that stand aside.
  private(set) var count = 0
  /// The number of lanes, with the rest, whose first place waits for the end of the pause.
  private var resting = 0
  /// The number of half-closes that stand aside.
  private var halfCloses = 0
  /// The number of the next place that comes.
  private var next: UInt64 = 0
  /// The place that is the first of its lane, because the one before it has left during the pause.
  private var follower: Place?

  /// Whether a place waits for the end of the pause.
  var rests: Bool { resting > 0 }

  /// Whether nothing is left to know: no place stands aside, and none has returned to the line.
  var isOver: Bool { lanes.isEmpty && rest.isOver }

  /// Whether a place at the head of the line has to stand aside, too. A datagram whose caller does not wait is tried at once,
  /// unless it comes after a half-close.
  func holdsBack(_ place: Place) -> Bool {
    if place.standing == .returned {
      return place.isInRest && lanes.values.contains { $0.oldest ?? .max < place.asideNumber }
    }
    if halfCloses > 0 { return true }
    guard case .datagram(let destination) = place.asideOrder else { return true }
    return !place.isLate && lanes[destination] != nil
  }

  /// Whether a place stands aside as the first of its lane, so that it waits for the end of the pause and not for the place
  /// before it.
  func isFirst(_ place: Place) -> Bool {
    withLane(of: place) { lane in lane.returned == nil && lane.places.first === place }
  }

  /// Returns the place that has become the first of its lane, because the one before it has left during the pause. Only the
  /// first place has a timer, or a thread that limits its wait.
  func takeFollower() -> Place? {
    guard let place = follower.take(), place.isAside, isFirst(place) else { return nil }
    return place
  }

  /// Adds a place that is in no list: in front of its lane if it has returned to the line from there, and else behind it.
  func add(_ place: Place) {
    let hasReturned = place.standing == .returned
    if !hasReturned {
      place.asideNumber = next
      next += 1
      if case .datagram = place.asideOrder, halfCloses == 0 {
        place.isInRest = false
      } else {
        place.isInRest = true
      }
    }
    place.standing = .aside
    count += 1
    if place.asideOrder == .halfClose { halfCloses += 1 }
    withLane(of: place) { lane in
      if hasReturned {
        lane.returned = nil
        lane.places.prepend(place)
      } else {
        lane.places.append(place)
      }
    }
  }

  /// Removes a place that stands aside.
  func remove(_ place: Place) {
    withLane(of: place) { lane in
      // Behind one that has returned to the line it waits for that one, and is no follower: `takeFollower` looks.
      let wasFirst = lane.places.first === place
      lane.places.remove(place)
      if wasFirst { follower = lane.places.first }
    }
    noteLeft(place)
    place.standing = .inLine
  }

  private func noteLeft(_ place: Place) {
    count -= 1
    if place.asideOrder == .halfClose { halfCloses -= 1 }
  }

  /// Takes the first place of a lane out of it. The caller brings it into the line.
  private func returnFirst(of lane: inout Lane) -> Place? {
    guard lane.returned == nil, let place = lane.places.first else { return nil }
    lane.places.remove(place)
    noteLeft(place)
    lane.returned = place.asideNumber
    place.standing = .returned
    return place
  }

  /// Notes that a place has left the line to which it had returned.
  ///
  /// - Returns: the next place of its lane, which the caller brings into the line.
  func follow(_ place: Place) -> Place? {
    place.standing = .inLine
    return withLane(of: place) { lane in
      lane.returned = nil
      return returnFirst(of: &lane)
    }
  }

  /// Takes out the places that are attempted when the pause ends. The caller brings them into the line, in this order.
  func returnFirsts() -> [Place] {
    var places: [Place] = []
    for index in lanes.indices {
      if let place = returnFirst(of: &lanes.values[index]) { places.append(place) }
    }
    if let place = returnFirst(of: &rest) { places.append(place) }
    resting = 0
    return places.sorted { $0.asideNumber < $1.asideNumber }
  }

  /// Takes out the place that has to be attempted before a datagram to the same destination. The caller brings it into the
  /// line.
  func returnFirst(before place: Place) -> Place? {
    guard case .datagram(let destination) = place.asideOrder, lanes[destination] != nil else { return nil }
    return withLane(of: place) { lane in returnFirst(of: &lane) }
  }

  /// Takes out everything, in order, before the object is dropped.
  func removeAll() -> [Place] {
    var places: [Place] = []
    visit { places.append($0) }
    for place in places { remove(place) }
    return places
  }

  /// Visits the places that stand aside, in order.
  func visit(_ body: (Place) -> Void) {
    var places: [Place] = []
    for lane in lanes.values { lane.places.visit { places.append($0) } }
    rest.places.visit { places.append($0) }
    for place in places.sorted(by: { $0.asideNumber < $1.asideNumber }) { body(place) }
  }

  /// Changes the lane of a place, or the rest, and counts it.
  private func withLane<Result>(of place: Place, _ body: (inout Lane) -> Result) -> Result {
    func counted(_ lane: inout Lane) -> Result {
      let rested = lane.rests
      defer { resting += (lane.rests ? 1 : 0) - (rested ? 1 : 0) }
      return body(&lane)
    }
    guard !place.isInRest, case .datagram(let destination) = place.asideOrder else { return counted(&rest) }
    let result = counted(&lanes[destination, default: Lane()])
    if lanes[destination]?.isOver ?? false { lanes[destination] = nil }
    return result
  }
}
