internal import CFloor
internal import Foundation

/// Python to Python: a process that drives another one and reports the time.
final class PythonContender: Contender {
  enum Work: String, Sendable { case roundTrip, receive, send }

  let title: String
  let latencies: Latencies?
  private let options: [String]
  private let driver = PythonDriver()

  private init(_ title: String, _ options: [String], hasLatencies: Bool) {
    self.title = title
    self.options = options
    latencies = hasLatencies ? Latencies() : nil
  }

  /// The contenders for each Python that does this work: all, or only the two most important ones.
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
    try await driver.start(interpreter, [path, "drive"] + options)
  }

  func round(_ operations: Int) async throws -> Round {
    let (elapsed, each) = try await driver.figures(of: operations)
    for latency in each { latencies?.record(latency) }
    return Round(operations: operations, amount: Double(elapsed))
  }

  func finish() async { await driver.finish() }
  func interrupt() { driver.kill() }
  var peerFate: String { driver.fate }
}
