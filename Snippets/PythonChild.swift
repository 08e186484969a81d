// A Python process with socketwrapper: over pipes and over a socket pair, blocking and asyncio on its side,
// while threads and tasks use the same endpoint here.
//
// The interpreter is the one that SWTEST_PYTHON names, or that of .venv; it needs socketwrapper 0.2.0.
import Foundation
import SWMessaging

let blockingScript = """
  import os, sys, socketwrapper as sw
  if "SOCKETWRAPPER_FD" in os.environ:
      r = w = sw.MessageDuplex(int(os.environ["SOCKETWRAPPER_FD"]))
  else:
      r, w = sw.MessageReader(0), sw.MessageWriter(1)
  w.send(b"ready")
  try:
      while True: w.send(r.recv().upper())
  except EOFError: pass
  """

let asyncScript = """
  import asyncio, os, socketwrapper as sw
  async def main():
      if "SOCKETWRAPPER_FD" in os.environ:
          r = w = sw.MessageDuplex(int(os.environ["SOCKETWRAPPER_FD"]))
      else:
          r, w = sw.MessageReader(0), sw.MessageWriter(1)
      await w.send_async(b"ready")
      try:
          while True: await w.send_async((await r.recv_async()).upper())
      except EOFError: pass
  asyncio.run(main())
  """

func interpreter() -> String? {
  [ProcessInfo.processInfo.environment["SWTEST_PYTHON"], ".venv/bin/python"].compactMap { $0 }
    .first { FileManager.default.isExecutableFile(atPath: $0) }
}

/// Runs blocking code on a thread of its own, and not on one of the pool.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
  }
}

let share = 200

func converse(_ python: String, _ script: String, _ place: ChildChannel, _ title: String) async throws {
  let child = try await ChildProcess.spawn(
    python, arguments: ["-c", script], channel: place, framing: .varInt)
  let greeting = try await child.channel.receive(timeout: .seconds(20))
  precondition(greeting == Array("ready".utf8))

  async let threadAnswers = onThread {
    try (0..<share).map { number in
      try child.channel.blocking.send("thread \(number)", timeout: .seconds(20))
      return String(decoding: try child.channel.blocking.receive(timeout: .seconds(20)), as: UTF8.self)
    }
  }
  var answers: [String] = []
  for number in 0..<share {
    try await child.channel.send("task \(number)", timeout: .seconds(20))
    answers.append(String(decoding: try await child.channel.receive(timeout: .seconds(20)), as: UTF8.self))
  }
  answers += try await threadAnswers
  // Which caller gets which answer depends on who asks first; together they have all of them.
  let expected = (0..<share).flatMap { ["TASK \($0)", "THREAD \($0)"] }
  precondition(answers.sorted() == expected.sorted(), "\(title): an answer is missing or wrong")

  let large = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
  async let reply = child.channel.receive(timeout: .seconds(20))
  try await child.channel.send(large, timeout: .seconds(20))
  let received = try await reply
  precondition(received == [UInt8](repeating: UInt8(ascii: "X"), count: 1 << 20))

  child.channel.finishSending()
  let status = try await child.waitForExit(timeout: .seconds(20))
  precondition(status.isSuccess, "\(title): \(status)")
  print("\(title): \(answers.count) small messages and 1 MiB both ways; Python \(status)")
}

if let python = interpreter() {
  for (kind, script) in [("blocking Python", blockingScript), ("asyncio", asyncScript)] {
    try await converse(python, script, .descriptor(3), "\(kind) over a socket pair")
    try await converse(python, script, .standardStreams, "\(kind) over two pipes")
  }
} else {
  print("skipped: no Python. Set SWTEST_PYTHON, or run scripts/setup-python.")
}

// Prints:
//   blocking Python over a socket pair: 400 small messages and 1 MiB both ways; Python exited with code 0
//   blocking Python over two pipes: 400 small messages and 1 MiB both ways; Python exited with code 0
//   asyncio over a socket pair: 400 small messages and 1 MiB both ways; Python exited with code 0
//   asyncio over two pipes: 400 small messages and 1 MiB both ways; Python exited with code 0
