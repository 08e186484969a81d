internal import Synchronization

/// A Python that does the work itself, as often as ordered, and reports the time.
final class PythonDriver: Sendable {
  private let peer = Mutex<PeerProcess?>(nil)

  /// Starts it. Throws ``Unavailable`` if it reports that something is missing.
  func start(_ interpreter: String, _ arguments: [String]) async throws {
    let peer = try PeerProcess(interpreter, arguments, ends: nil)
    self.peer.withLock { $0 = peer }
    let answer = try await onThread { try peer.answer() }
    if answer.hasPrefix("missing ") {
      await finish()
      throw Unavailable(description: String(answer.dropFirst(8)))
    }
  }

  /// Returns the nanoseconds of this number of operations, and its other figures.
  func figures(of operations: Int) async throws -> (elapsed: UInt64, others: ArraySlice<UInt64>) {
    guard let peer = peer.withLock({ $0 }) else { throw UnexpectedEnd() }
    try peer.order("\(operations)")
    let figures = try await onThread { try peer.answer() }.split(separator: " ").compactMap { UInt64($0) }
    guard let elapsed = figures.first else { throw UnexpectedEnd() }
    return (elapsed, figures.dropFirst())
  }

  func finish() async {
    let peer = peer.withLock { $0.take() }
    if let peer { try? await onThread { peer.finish() } }
  }

  func kill() { peer.withLock { $0 }?.kill() }
  var fate: String { peer.withLock { $0 }?.fate ?? "" }
}
