// A Python worker that computes with NumPy: arrays go to it and come from it, and are read here where they lie.
//
// The interpreter is the one that SWTEST_PYTHON names, or that of .venv; it needs numpy.
import Foundation
import SWMessaging
import SWPickle

let script = """
  import sys
  try:
      import numpy
  except ImportError:
      sys.exit(77)
  from multiprocessing.connection import Connection
  connection = Connection(3)
  try:
      while True:
          task = connection.recv()
          x = numpy.linspace(0, 1, task["count"])
          connection.send({"x": x, "y": numpy.polyval(task["coefficients"], x), "mean": numpy.float64(x.mean())})
  except EOFError:
      pass
  """

struct Task: Codable, Sendable {
  var count: Int
  var coefficients: NumPyArray
}

struct Result: Codable, Sendable {
  var x: [Double]  // copied out of the array
  var y: NumPyArray  // the array, not copied again
  var mean: Double
}

let candidates = [ProcessInfo.processInfo.environment["SWTEST_PYTHON"], ".venv/bin/python"]
if let python = candidates.compactMap({ $0 }).first(where: FileManager.default.isExecutableFile(atPath:)) {
  let worker = try await ChildProcess.spawn(
    python, arguments: ["-c", script], channel: .descriptor(3),
    framing: .multiprocessing(receiving: Result.self, sending: Task.self))
  do {
    // 2x² + 1
    try await worker.channel.send(
      Task(count: 100_001, coefficients: NumPyArray([2.0, 0, 1])), timeout: .seconds(30))
    let result = try await worker.channel.receive(timeout: .seconds(30))
    print("\(result.y): x from \(result.x[0]) to \(result.x[100_000]), mean \(result.mean)")
    let integral = try result.y.withElements(as: Double.self) { y in
      var sum = 0.0
      for index in y.indices { sum += y[index] }
      return sum / Double(y.count)
    }
    print("the mean of 2x² + 1 is \(integral)")
    precondition(abs(integral - 5 / 3) < 0.0001 && abs(result.mean - 0.5) < 1e-9)
    worker.channel.finishSending()
    let status = try await worker.exitStatus
    precondition(status.isSuccess)
  } catch {
    guard try await worker.exitStatus == .exited(77) else { throw error }
    print("skipped: that Python has no numpy. Run scripts/setup-python.")
  }
} else {
  print("skipped: no Python. Set SWTEST_PYTHON, or run scripts/setup-python.")
}

// Prints:
//   array(<f8, shape: [100001]): x from 0.0 to 1.0, mean 0.5
//   the mean of 2x² + 1 is 1.66667…
