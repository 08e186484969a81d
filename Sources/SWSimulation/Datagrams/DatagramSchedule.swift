import SWTesting

/// The parameters of one world of datagrams, drawn from a seed.
struct DatagramSchedule {
  /// Whether the socket looks like a descriptor, or like an in-process transport.
  var isDescriptor: Bool
  /// The number of datagrams that fit into each peer's queue, by peer.
  var rooms: [Int]
  /// The peers that read nothing before the end.
  var sleepers: Set<Int>
  var callers: Int
  var mostCalls: Int
  /// The probability that a datagram has no address, that a call sends several, and that it is a flush.
  var unaddressed: Double
  var batch: Double
  var flush: Double
  /// The probabilities that an attempt is refused although the peer has room, that the socket's own buffer is full, and
  /// that an attempt fails for one datagram.
  var refusal: Double
  var block: Double
  var itemFailure: Double
  var interlude: Double
  var mostDepth: Int
  var disturbance: Double
  /// The most closes and half-closes, and the most cancellations.
  var endings: Int
  var cancellations: Int
  /// The probability that a call has a deadline, and that the deadline is zero.
  var deadline: Double
  var zeroDeadline: Double

  init(_ generator: inout SeededGenerator) {
    func pick<Value>(_ values: [Value]) -> Value { values[Int(generator.next() % UInt64(values.count))] }
    isDescriptor = pick([true, true, false])
    let rooms = (0..<pick([1, 2, 3])).map { _ in pick([0, 1, 1, 2, 4]) }
    sleepers = Set(rooms.indices.filter { rooms[$0] == 0 || pick([true, false, false]) })
    self.rooms = rooms
    callers = pick([1, 2, 3, 4, 6])
    mostCalls = pick([1, 2, 4])
    unaddressed = pick([0, 0.2, 1])
    batch = pick([0, 0.3])
    flush = pick([0, 0.2])
    refusal = pick([0, 0.1, 0.4])
    block = pick([0, 0, 0.2])
    itemFailure = pick([0, 0, 0.1])
    interlude = pick([0, 0.2, 0.5])
    mostDepth = pick([1, 2, 3])
    disturbance = pick([0, 0.05, 0.2])
    endings = pick([0, 0, 1, 2])
    cancellations = pick([0, 1, 4])
    deadline = pick([0, 0.3, 0.6])
    zeroDeadline = pick([0, 0.3])
  }
}
