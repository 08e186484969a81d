// Python's socketwrapper with messages that end with a delimiter, and what cannot be sent that way.
//
// The interpreter is the one that SWTEST_PYTHON names, or that of .venv; it needs socketwrapper 0.2.0.
import Foundation
import SWMessaging

let script = """
  import socketwrapper as sw
  channel = sw.MessageDuplex(3, sw.framing.DelimiterTerminatedBytes(b"--"))
  try:
      while True: channel.send(channel.recv()[::-1])
  except EOFError: pass
  """

let python = [ProcessInfo.processInfo.environment["SWTEST_PYTHON"], ".venv/bin/python"].compactMap { $0 }
  .first { FileManager.default.isExecutableFile(atPath: $0) }

if let python {
  let child = try await ChildProcess.spawn(
    python, arguments: ["-c", script], framing: .delimited(by: "--"))
  for word in ["stressed", "", "x-y"] {
    try await child.channel.send(word)
    let answer = String(decoding: try await child.channel.receive(timeout: .seconds(20)), as: UTF8.self)
    print("\(word) -> \(answer)")
    precondition(answer == String(word.reversed()))
  }
  do {
    try await child.channel.send("x-")
    preconditionFailure("it would read back as x")
  } catch {
    print("x- -> \(error)")
  }
  child.channel.finishSending()
  let status = try await child.waitForExit(timeout: .seconds(20))
  precondition(status.isSuccess)
} else {
  print("skipped: no Python. Set SWTEST_PYTHON, or run scripts/setup-python.")
}

// Prints:
//   stressed -> desserts
//    ->
//   x-y -> y-x
//   x- -> cannot send the message: …
