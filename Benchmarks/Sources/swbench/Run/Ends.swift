internal import CFloor

/// The transport of a connection.
enum Transport: String, CaseIterable, Codable, Sendable {
  case socketPair = "socketpair"
  case pipes
  case tcp
}

/// One end of a connection: the numbers for reading and for writing, which are equal for a socket.
struct Ends: Sendable {
  var reading: Int32
  var writing: Int32

  var isSocket: Bool { reading == writing }

  /// Closes both numbers. Only while no library has taken them over.
  func close() {
    _ = floor_close(reading)
    if !isSocket { _ = floor_close(writing) }
  }

  /// Both ends of a new connection.
  static func pair(_ transport: Transport) throws -> (Ends, Ends) {
    switch transport {
    case .socketPair, .tcp:
      let (a, b) = try unsafe descriptors("socketpair") { ends in
        unsafe floor_socket_pair(transport == .tcp, ends)
      }
      return (Ends(reading: a, writing: a), Ends(reading: b, writing: b))
    case .pipes:
      let (fromPeer, peerWriting) = try unsafe descriptors("pipe") { ends in unsafe floor_pipe(ends) }
      let (peerReading, toPeer) = try unsafe descriptors("pipe") { ends in unsafe floor_pipe(ends) }
      return (Ends(reading: fromPeer, writing: toPeer), Ends(reading: peerReading, writing: peerWriting))
    }
  }

  private static func descriptors(
    _ operation: String, _ make: (UnsafeMutablePointer<Int32>?) -> Int32
  ) throws -> (Int32, Int32) {
    var ends: [Int32] = [-1, -1]
    try checked(operation, unsafe ends.withUnsafeMutableBufferPointer { unsafe make($0.baseAddress) })
    return (ends[0], ends[1])
  }
}
