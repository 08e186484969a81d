internal import CFloor

/// The memory of an accepted connection while it waits. Each round is a process that accepts many connections, lets each
/// echo a message, and prints the growth of its resident set. The clients are bare sockets of the same process.
struct OpenContender: Contender {
  enum Way: String, CaseIterable, Sendable {
    case endpoints = "accepted, nobody waiting"
    case reactor = "served by tasks on the reactor"
    case pool = "served by tasks on the pool"
  }

  /// Both ends are in one process, and 20,000 descriptors are a usual hard limit.
  static let count = 9_700

  let way: Way
  var title: String { way.rawValue }
  var isScalable: Bool { false }

  func prepare() async throws {}
  func finish() async {}

  func round(_ operations: Int) async throws -> Round {
    let peer = try PeerProcess(role: "open", ["--as", "\(way)", "--connections", "\(Self.count)"], ends: nil)
    let answer = try await onThread {
      defer { peer.finish() }
      do { return try peer.answer() } catch { throw Unavailable(description: peer.fate) }
    }
    let figures = answer.split(separator: " ").compactMap { Double($0) }
    guard figures.count == 2 else { throw UnexpectedEnd() }
    return Round(
      operations: Self.count, amount: figures[0], extras: ["heap bytes": figures[1] / Double(Self.count)])
  }
}
