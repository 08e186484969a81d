internal import CFloor

/// The floor: blocking C.
// Invariant: the C end is used by one call at a time, and freed with the last reference.
@safe
final class CConnection: Connection, @unchecked Sendable {
  private let end: OpaquePointer
  private let ends: Ends

  init(_ ends: Ends, _ shape: Shape, header: FrameHeader = .varInt) throws {
    guard
      let end = unsafe floor_end_make(
        ends.reading, ends.writing, header.native, shape.byteCount, shape.perWrite)
    else { throw SystemFailure(operation: "floor_end_make", errno: 12) }
    unsafe self.end = end
    self.ends = ends
  }

  deinit { unsafe floor_end_free(end) }

  func roundTrips(_ count: Int, recording latencies: Latencies) async throws {
    try await onThread { [self] in
      var nanoseconds = [UInt64](repeating: 0, count: count)
      try checked(
        "C round trips",
        unsafe nanoseconds.withUnsafeMutableBufferPointer {
          unsafe floor_round_trips(end, count, $0.baseAddress)
        })
      for each in nanoseconds { latencies.record(each) }
    }
  }

  func receive(_ count: Int) async throws {
    try await onThread { [self] in _ = try checked("C receive", unsafe floor_receive(end, count)) }
  }

  func send(_ count: Int) async throws {
    try await onThread { [self] in _ = try checked("C send", unsafe floor_send(end, count)) }
  }

  func echo() async throws {
    try await onThread { [self] in _ = try checked("C echo", unsafe floor_echo(end)) }
  }

  /// Sends as ordered on a control socket, until the socket's end.
  func source(orders control: Int32) throws { try checked("C source", unsafe floor_source(end, control)) }

  func close() async { ends.close() }
}
