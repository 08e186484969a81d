import CCounts
import SWFraming
import SWMessaging
import Synchronization

private let small = [UInt8](repeating: 7, count: 64)
private let large = [UInt8](repeating: 7, count: 65_536)
private let hundred = Array(repeating: small, count: 100)

/// The paths of messages, in the order of the table.
let messagePaths: [Path] = [
  Path("blocking", "64 B over a socket pair, sent and received as [UInt8]") {
    let (left, right) = try makeSocketPair(framing: .varInt)
    return .blocking { count in
      for _ in 0..<count {
        try left.blocking.send(small)
        consume(try right.blocking.receive())
      }
    }
  },
  Path("blocking-borrowed", "the same, received as borrowed bytes") {
    let (left, right) = try makeSocketPair(framing: .varInt)
    return .blocking { count in
      for _ in 0..<count {
        try left.blocking.send(small)
        try right.blocking.withMessage { consume($0) }
      }
    }
  },
  Path("blocking-timeout", "the same as [UInt8], with a timeout given to both calls") {
    let (left, right) = try makeSocketPair(framing: .varInt)
    return .blocking { count in
      for _ in 0..<count {
        try left.blocking.send(small, timeout: .seconds(1))
        consume(try right.blocking.receive(timeout: .seconds(1)))
      }
    }
  },
  Path("blocking-exact", "the same as [UInt8], without reading ahead") {
    let ends = try Ends()
    let left = try MessageDuplex(adopting: ends.first, framing: .varInt)
    let right = try MessageDuplex(adopting: ends.second, framing: .varInt, mode: .exact)
    return .blocking { count in
      for _ in 0..<count {
        try left.blocking.send(small)
        consume(try right.blocking.receive())
      }
    }
  },
  Path("blocking-large", "64 KiB over a socket pair, sent and received as [UInt8]", count: 100) {
    let (left, right) = try makeSocketPair(framing: .varInt)
    return .blocking { count in
      for _ in 0..<count {
        try left.blocking.send(large)
        consume(try right.blocking.receive())
      }
    }
  },
  Path("pipe", "64 B over a pipe, sent and received as [UInt8]") {
    let (reader, writer) = try makePipe(framing: .varInt)
    return .blocking { count in
      for _ in 0..<count {
        try writer.blocking.send(small)
        consume(try reader.blocking.receive())
      }
    }
  },
  Path("raw", "64 B over a socket pair, without a framing") {
    let (left, right) = try makeSocketPair()
    return .blocking { count in
      for _ in 0..<count {
        try left.blocking.send(small)
        consume(try right.blocking.receive(exactly: 64))
      }
    }
  },
  Path("send-contents", "64 B, a hundred at a time, to a peer that only reads", count: 10_000) {
    let ends = try Ends()
    let left = try MessageDuplex(adopting: ends.first, framing: .varInt)
    let peer = Peer(ends.second)
    return .blocking { count in
      for _ in 0..<count / 100 {
        try left.blocking.send(contentsOf: hundred)
        peer.drain(65 * 100)
      }
    }
  },
  Path("receive-array", "64 B as [UInt8], a hundred written at a time by a peer", count: 10_000) {
    let ends = try Ends()
    let (peer, right) = (Peer(ends.first), try MessageDuplex(adopting: ends.second, framing: .varInt))
    return .blocking { count in
      for _ in 0..<count / 100 {
        peer.writeHundred()
        for _ in 0..<100 { consume(try right.blocking.receive()) }
      }
    }
  },
  Path("receive-borrowed", "the same, as borrowed bytes", count: 10_000) {
    let ends = try Ends()
    let (peer, right) = (Peer(ends.first), try MessageDuplex(adopting: ends.second, framing: .varInt))
    return .blocking { count in
      for _ in 0..<count / 100 {
        peer.writeHundred()
        for _ in 0..<100 { try right.blocking.withMessage { consume($0) } }
      }
    }
  },
  Path("batch", "64 B, send(contentsOf:) of a hundred, received as borrowed bytes", count: 10_000) {
    let (left, right) = try makeSocketPair(framing: .varInt)
    return .blocking { count in
      for _ in 0..<count / 100 {
        try left.blocking.send(contentsOf: hundred)
        for _ in 0..<100 { try right.blocking.withMessage { consume($0) } }
      }
    }
  },
  Path("async", "64 B over a socket pair, sent and received as [UInt8] by a task that need not wait") {
    let (left, right) = try makeSocketPair(framing: .varInt)
    return .task { count in
      for _ in 0..<count {
        try await left.send(small)
        consume(try await right.receive())
      }
    }
  },
  Path("async-timeout", "the same, with a timeout given to both calls") {
    let (left, right) = try makeSocketPair(framing: .varInt)
    return .task { count in
      for _ in 0..<count {
        try await left.send(small, timeout: .seconds(1))
        consume(try await right.receive(timeout: .seconds(1)))
      }
    }
  },
  Path("async-receive", "64 B as [UInt8] by a task, a hundred written at a time by a peer", count: 10_000) {
    let ends = try Ends()
    let (peer, right) = (Peer(ends.first), try MessageDuplex(adopting: ends.second, framing: .varInt))
    return .task { count in
      for _ in 0..<count / 100 {
        peer.writeHundred()
        for _ in 0..<100 { consume(try await right.receive()) }
      }
    }
  },
  Path("async-borrowed", "the same, as borrowed bytes", count: 10_000) {
    let ends = try Ends()
    let (peer, right) = (Peer(ends.first), try MessageDuplex(adopting: ends.second, framing: .varInt))
    return .task { count in
      for _ in 0..<count / 100 {
        peer.writeHundred()
        for _ in 0..<100 { try await right.withMessage { consume($0) } }
      }
    }
  },
  Path("for-await", "the same as [UInt8], with `for try await`", count: 10_000) {
    let ends = try Ends()
    let (peer, right) = (Peer(ends.first), try MessageDuplex(adopting: ends.second, framing: .varInt))
    return .task { count in
      peer.writeHundred()
      var received = 0
      for try await message in right.messages {
        consume(message)
        received += 1
        if received == count { break }
        if received % 100 == 0 { peer.writeHundred() }
      }
    }
  },
  Path("batch-await", "the same as [UInt8], a batch a call", count: 10_000) {
    let ends = try Ends()
    let (peer, right) = (Peer(ends.first), try MessageDuplex(adopting: ends.second, framing: .varInt))
    return .task { count in
      for _ in 0..<count / 100 {
        peer.writeHundred()
        for message in try await right.receiveBatch() { consume(message) }
      }
    }
  },
  Path("batch-borrowed", "the same, as borrowed bytes, a batch a call", count: 10_000) {
    let ends = try Ends()
    let (peer, right) = (Peer(ends.first), try MessageDuplex(adopting: ends.second, framing: .varInt))
    return .task { count in
      for _ in 0..<count / 100 {
        peer.writeHundred()
        try await right.withMessages { consume($0) }
      }
    }
  },
  Path("waiting-blocking", "64 B there and back between two threads that wait") {
    let (left, right) = try makeSocketPair(framing: .varInt)
    return .blocking { count in
      let echo = SecondThread {
        do {
          for _ in 0..<count { try right.blocking.send(try right.blocking.receive()) }
        } catch {
          fail("the echo: \(error)")
        }
      }
      for _ in 0..<count {
        try left.blocking.send(small)
        consume(try left.blocking.receive())
      }
      echo.join()
    }
  },
  Path(
    "waiting", "64 B there and back between two tasks that wait, on the reactor's executor"
  ) {
    let (left, right) = try makeSocketPair(framing: .varInt)
    return .reactor { count in
      async let echo: Void = {
        for _ in 0..<count { try await right.send(try await right.receive()) }
      }()
      for _ in 0..<count {
        try await left.send(small)
        consume(try await left.receive())
      }
      try await echo
    }
  },
  Path("waiting-timeout", "the same, with a timeout given to every call") {
    let (left, right) = try makeSocketPair(framing: .varInt)
    return .reactor { count in
      async let echo: Void = {
        for _ in 0..<count {
          try await right.send(try await right.receive(timeout: .seconds(60)), timeout: .seconds(60))
        }
      }()
      for _ in 0..<count {
        try await left.send(small, timeout: .seconds(60))
        consume(try await left.receive(timeout: .seconds(60)))
      }
      try await echo
    }
  },
  Path("idle", "to make a connection at which a task waits: allocations are its memory", count: 100) {
    let kept = Kept()
    return .reactor { count in
      for _ in 0..<count {
        let (left, right) = try makeSocketPair(framing: .varInt)
        Task(executorPreference: .reactor) {
          while let message = try await right.next() { try await right.send(message) }
        }
        repeat { await Task.yield() } while right.snapshot.waitingReceivers == 0
        kept.add(left)
      }
    }
  },
  Path("connecting", "to connect over a Unix socket, accept, send 64 B there and back, and close: both ends")
  {
    let listener = try Listener(.abstract(""), framing: .varInt)
    let connector = Connector(to: listener.address)
    return .blocking { count in
      for _ in 0..<count {
        let left = try connector.blocking.connect(framing: .varInt)
        let right = try listener.blocking.accept()
        try left.blocking.send(small)
        try right.blocking.send(try right.blocking.receive())
        consume(try left.blocking.receive())
        left.close()
        right.close()
      }
    }
  },
  Path("varint-scan", "to find the end of a frame of 64 B", count: 10_000) {
    let frame = [64] + small
    let framing = VarIntFraming()
    return .blocking { count in
      for _ in 0..<count {
        var scanner = framing.makeScanner()
        consume(try scanner.demand(in: frame.span).byteCount)
      }
    }
  },
  Path("varint-encode", "to make a frame of 64 B", count: 10_000) {
    let framing = VarIntFraming()
    return .blocking { count in
      for _ in 0..<count {
        var parts = FrameParts()
        try framing.encode(small, into: &parts)
        consume(parts.byteCount)
      }
    }
  },
  Path("varint-decode", "to take a message of 64 B out of its frame", count: 10_000) {
    let frame = [64] + small
    let framing = VarIntFraming()
    return .blocking { count in
      let scanner = framing.makeScanner()
      for _ in 0..<count {
        consume(try framing.decode(frame.span, payload: 1..<65, scanned: scanner))
      }
    }
  },
]

// Received messages must be made, because the compiler knows none of these functions.

@inline(never) private func consume(_ message: [UInt8]) {}
@inline(never) private func consume(_ message: Span<UInt8>) {}
@inline(never) private func consume(_ count: Int) {}

/// Two connected sockets without an owner.
private struct Ends {
  let first: Int32
  let second: Int32

  init() throws {
    var ends: [Int32] = [-1, -1]
    let result = unsafe ends.withUnsafeMutableBufferPointer { unsafe counts_pair($0.baseAddress) }
    guard result == 0 else { fail("there is no pair of sockets") }
    (first, second) = (ends[0], ends[1])
  }
}

/// The other end, in C. Its cost does not count as ours, except for its one system call for each hundred messages.
private struct Peer: Sendable {
  private let descriptor: Int32
  private static let frames = Array(repeating: [64] + small, count: 100).flatMap { $0 }

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  func writeHundred() {
    let result = unsafe Self.frames.withUnsafeBufferPointer { frames in
      unsafe counts_write(descriptor, frames.baseAddress, frames.count)
    }
    guard result == 0 else { fail("the peer cannot write") }
  }

  func drain(_ count: Int) {
    let result = counts_drain(descriptor, count)
    guard result == 0 else { fail("the peer cannot read") }
  }
}

/// Connections that stay open.
private final class Kept: Sendable {
  private let ends = Mutex<[MessageDuplex<VarIntFraming>]>([])

  init() { ends.withLock { $0.reserveCapacity(1_000) } }

  func add(_ end: MessageDuplex<VarIntFraming>) { ends.withLock { $0.append(end) } }
}
