internal import CFloor
internal import Foundation
internal import Synchronization

/// Python to Python: a process that drives another one and says how long it took.
final class PythonContender: Contender {
  enum Work: String, Sendable { case roundTrip, receive, send }

  let title: String
  let latencies: Latencies?
  private let options: [String]
  private let peer = Mutex<PeerProcess?>(nil)

  private init(_ title: String, _ options: [String], hasLatencies: Bool) {
    self.title = title
    self.options = options
    latencies = hasLatencies ? Latencies() : nil
  }

  /// Each Python that does this work: all of them, or the two that matter most.
  static func all(
    _ work: Work, _ transport: Transport, _ shape: Shape, isFull: Bool
  ) -> [any Contender] {
    let ways = [
      ("Python multiprocessing", "multiprocessing", "sync"),
      ("Python socketwrapper", "socketwrapper", "sync"),
      ("Python socketwrapper, asyncio", "socketwrapper", "asyncio"),
      ("Python socketwrapper, uvloop", "socketwrapper", "uvloop"),
    ]
    return ways.prefix(isFull ? ways.count : 2).map { title, library, mode in
      PythonContender(
        title,
        [
          "--impl", library, "--mode", mode, "--work", work.rawValue, "--transport", transport.rawValue,
          "--size", "\(shape.byteCount)",
        ], hasLatencies: work == .roundTrip)
    }
  }

  func prepare() async throws {
    let (interpreter, path) = try Python.script()
    let peer = try PeerProcess(interpreter, [path, "drive"] + options, ends: nil)
    self.peer.withLock { $0 = peer }
    let answer = try await onThread { try peer.answer() }
    if answer.hasPrefix("missing ") {
      await finish()
      throw Unavailable(description: String(answer.dropFirst(8)))
    }
  }

  func round(_ operations: Int) async throws -> Round {
    guard let peer = peer.withLock({ $0 }) else { throw UnexpectedEnd() }
    try peer.order("\(operations)")
    let figures = try await onThread { try peer.answer() }.split(separator: " ").compactMap { UInt64($0) }
    guard let elapsed = figures.first else { throw UnexpectedEnd() }
    for each in figures.dropFirst() { latencies?.record(each) }
    return Round(operations: operations, amount: Double(elapsed))
  }

  func finish() async {
    let peer = peer.withLock { peer in
      defer { peer = nil }
      return peer
    }
    if let peer { try? await onThread { peer.finish() } }
  }

  func interrupt() { peer.withLock { $0 }?.kill() }
  var peerFate: String { peer.withLock { $0 }?.fate ?? "" }
}
