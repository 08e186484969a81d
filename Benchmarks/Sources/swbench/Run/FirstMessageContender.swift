internal import CFloor
internal import Foundation

/// How long it takes from starting a process until its first message has come back.
struct FirstMessageContender: Contender {
  enum Way: String, CaseIterable, Sendable {
    case floor = "plain C in the same program"
    case blocking = "blocking"
    case reactor = "async on the reactor"
    case pool = "async, default executor"
  }

  let way: Way
  var title: String { way.rawValue }
  var isScalable: Bool { false }

  func prepare() async throws {}
  func finish() async {}

  func round(_ operations: Int) async throws -> Round {
    let operations = 5
    return try await onThread {
      var spent: UInt64 = 0
      var inside = 0.0
      for _ in 0..<operations {
        let (own, others) = try Ends.pair(.socketPair)
        defer { own.close() }
        let before = floor_now()
        let peer = try PeerProcess(role: "first", ["--as", "\(way)"], ends: others)
        var frame = [UInt8](repeating: 0, count: 65)
        try checked(
          "first message",
          unsafe frame.withUnsafeMutableBytes { unsafe floor_read_all(own.reading, $0.baseAddress, 65) })
        spent += floor_now() - before
        inside += Double(try peer.answer()) ?? 0
        peer.finish()
      }
      return Round(
        operations: operations, amount: Double(spent) / 1000,
        extras: ["of it µs inside": inside / 1000 / Double(operations)])
    }
  }
}
