// Python's multiprocessing at the other end: a Python child that has a `Connection`, and this program as the
// child of a Python process that made a `Pipe()`. Nothing but Python's standard library is needed there.
//
// The interpreter is the one that SWTEST_PYTHON names, or python3.
import Foundation
import SWMessaging

let child = """
  from multiprocessing.connection import Connection
  parent = Connection(3)
  try:
      while True: parent.send_bytes(parent.recv_bytes().upper())
  except EOFError: pass
  """

let parent = """
  import multiprocessing, subprocess, sys
  ours, theirs = multiprocessing.Pipe()
  child = subprocess.Popen([sys.argv[1], "child", str(theirs.fileno())], pass_fds=[theirs.fileno()])
  theirs.close()
  for word in b"stressed", b"", b"x" * 100000 + b"y":
      ours.send_bytes(word)
      assert ours.recv_bytes() == word[::-1]
  ours.close()
  sys.exit(child.wait())
  """

if CommandLine.arguments.dropFirst().first == "child",
  let number = CommandLine.arguments.last.flatMap(Int32.init)
{
  let parent = try MessageDuplex(adopting: number, framing: .multiprocessingBytes)
  for try await message in parent.messages { try await parent.send(message.reversed()) }
  exit(0)
}

let environment = ProcessInfo.processInfo.environment
let places = (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/python3" }
guard
  let python = ([environment["SWTEST_PYTHON"] ?? ""] + places).first(where: {
    FileManager.default.isExecutableFile(atPath: $0)
  })
else {
  print("skipped: no python3 in PATH")
  exit(0)
}

let worker = try await ChildProcess.spawn(python, arguments: ["-c", child], framing: .multiprocessingBytes)
for word in ["hello", "", String(repeating: "x", count: 100_000)] {
  async let answer = worker.channel.receive(timeout: .seconds(20))
  try await worker.channel.send(word)
  let received = String(decoding: try await answer, as: UTF8.self)
  precondition(received == word.uppercased())
}
worker.channel.finishSending()
let status = try await worker.waitForExit(timeout: .seconds(20))
print("a Python child with a Connection: \(status)")
precondition(status.isSuccess)

// Its own standard streams carry no messages of ours, so they are read as lines.
let boss = try await ChildProcess.spawn(
  python, arguments: ["-c", parent, "/proc/\(ProcessInfo.processInfo.processIdentifier)/exe"],
  channel: .standardStreams, framing: .lines)
let bossStatus = try await boss.waitForExit(timeout: .seconds(20))
print("a Python parent with a Pipe(): \(bossStatus)")
precondition(bossStatus.isSuccess)

// Prints:
//   a Python child with a Connection: exited with code 0
//   a Python parent with a Pipe(): exited with code 0
