internal import FlyingSocks
internal import Foundation

/// FlyingSocks' AsyncSocket with a minimal framing: a length of four bytes, read through a buffer.
// Invariant: only one caller at a time receives, and the buffer belongs to it.
final class FlyingConnection: Connection, @unchecked Sendable {
  private let socket: AsyncSocket
  private let pool: Task<Void, any Error>
  private let shape: Shape
  private var buffer: [UInt8] = []
  private var position = 0

  init(_ ends: Ends, _ shape: Shape) async throws {
    let pool: some AsyncSocketPool = .make()
    try await pool.prepare()
    self.pool = Task.detached { try await pool.run() }
    socket = try AsyncSocket(socket: Socket(file: .init(rawValue: ends.reading)), pool: pool)
    self.shape = shape
  }

  private static func frame(_ payload: [UInt8]) -> Data {
    var frame = Data(capacity: payload.count + 4)
    unsafe withUnsafeBytes(of: UInt32(payload.count).bigEndian) { unsafe frame.append(contentsOf: $0) }
    frame.append(contentsOf: payload)
    return frame
  }

  /// Returns one message. Returns nil at the end of the stream.
  private func next() async throws -> [UInt8]? {
    while true {
      let available = buffer.count - position
      if available >= 4 {
        let length = buffer[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
        if available >= 4 + length {
          defer { position += 4 + length }
          return Array(buffer[position + 4..<position + 4 + length])
        }
        buffer.reserveCapacity(position + 4 + length)
      }
      if position == buffer.count {
        buffer.removeAll(keepingCapacity: true)
        position = 0
      } else if position > 65_536 {
        buffer.removeFirst(position)
        position = 0
      }
      do {
        buffer += try await socket.read(atMost: 65_536)
      } catch SocketError.disconnected {
        return nil
      }
    }
  }

  private func take() async throws {
    guard let message = try await next() else { throw UnexpectedEnd() }
    try UnexpectedSize.check(message.count, shape)
  }

  @concurrent
  func roundTrips(_ count: Int, recording latencies: Latencies) async throws {
    let frame = Self.frame(shape.message)
    latencies.begin()
    for _ in 0..<count {
      try await socket.write(frame)
      try await take()
      latencies.lap()
    }
  }

  @concurrent
  func receive(_ count: Int) async throws {
    for _ in 0..<count { try await take() }
  }

  @concurrent
  func send(_ count: Int) async throws {
    let message = shape.message
    for batch in shape.batches(of: count) {
      var frames = Self.frame(message)
      for _ in 1..<batch { frames.append(Self.frame(message)) }
      try await socket.write(frames)
    }
  }

  @concurrent
  func echo() async throws {
    while let message = try await next() { try await socket.write(Self.frame(message)) }
  }

  func close() async {
    try? socket.close()
    pool.cancel()
  }
}
