internal import CFloor

/// The memory of a connection that waits for a message. Each round is a process that makes many connections, lets each echo
/// two messages, and prints the growth of its resident set.
struct IdleContender: Contender {
  enum Way: String, CaseIterable, Sendable {
    case descriptors = "bare C sockets"
    case tasks = "bare sockets and a suspended task each"
    case endpoints = "endpoints, nobody waiting"
    case reactor = "endpoints, a task on the reactor waiting at each"
    case pool = "endpoints, a task on the pool waiting at each"
    case nio = "SwiftNIO handlers"
    case nioAsync = "NIOAsyncChannel, a task waiting at each"
  }

  static let count = 2_000

  let way: Way
  var title: String { way.rawValue }
  var isScalable: Bool { false }

  func prepare() async throws {}
  func finish() async {}

  func round(_ operations: Int) async throws -> Round {
    let peer = try PeerProcess(role: "idle", ["--as", "\(way)", "--connections", "\(Self.count)"], ends: nil)
    let answer = try await onThread {
      defer { peer.finish() }
      return try peer.answer()
    }
    let figures = answer.split(separator: " ").compactMap { Double($0) }
    guard figures.count == 2 else { throw UnexpectedEnd() }
    return Round(
      operations: Self.count, amount: figures[0], extras: ["heap bytes": figures[1] / Double(Self.count)]
    )
  }
}
