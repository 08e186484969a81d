internal import CFloor

/// The behaviour of a listener under hardship. Each round is a separate process, which prints the benchmark's figure and
/// then further ones.
struct HardshipContender: Contender {
  let title: String
  private let role: String
  private let arguments: [String]
  private let names: [String]
  var isScalable: Bool { false }

  /// - Parameter names: the names of the further figures.
  init(_ title: String, role: String, _ arguments: [String] = [], also names: [String]) {
    self.title = title
    self.role = role
    self.arguments = arguments
    self.names = names
  }

  func prepare() async throws {}
  func finish() async {}

  func round(_ operations: Int) async throws -> Round {
    let peer = try PeerProcess(role: role, arguments, ends: nil)
    let (answer, fate) = try await onThread {
      let answer = try? peer.answer()
      defer { peer.finish() }
      return (answer, peer.fate)
    }
    guard let figures = answer?.split(separator: " ").compactMap({ Double($0) }),
      figures.count == names.count + 1
    else { throw Unavailable(description: fate) }
    return Round(
      operations: 1, amount: figures[0],
      extras: Dictionary(uniqueKeysWithValues: zip(names, figures.dropFirst())))
  }
}
