// MessagePack between Swift and Python's socketwrapper: a pipe in each direction, and a message of mixed types, with
// bytes in it that are not text. The other end's framing is socketwrapper's own.
//
// The interpreter is the one that SWTEST_PYTHON names: it has to have socketwrapper and msgpack.
import Foundation
import SWMessaging
import SWMsgPack

// begin message
struct Parcel: Codable, Equatable, Sendable {
  var data: Data
}

let framing = MsgPackFraming<Parcel, Parcel>()
// end message

let script = """
  import socketwrapper
  from socketwrapper import framing
  reader = socketwrapper.MessageReader(0, framing.MsgPack())
  writer = socketwrapper.MessageWriter(1, framing.MsgPack())
  assert reader.recv() == {"data": b"Hello world!"}
  writer.send({"data": b"Hello world!"})
  try:
      while True: writer.send(reader.recv())
  except EOFError: pass
  """

func interpreter() -> String? {
  let environment = ProcessInfo.processInfo.environment
  return [environment["SWTEST_PYTHON"], FileManager.default.currentDirectoryPath + "/.venv/bin/python"]
    .compactMap { $0 }.first { FileManager.default.isExecutableFile(atPath: $0) }
}

guard let python = interpreter() else {
  print("skipped: no Python. Set SWTEST_PYTHON, or run scripts/setup-python.")
  exit(0)
}

let child = try await ChildProcess.spawn(
  python, arguments: ["-c", script], channel: .standardStreams, framing: framing)
let hello = Parcel(data: Data("Hello world!".utf8))
try await child.channel.send(hello, timeout: .seconds(20))
let answer = try await child.channel.receive(timeout: .seconds(20))
precondition(answer == hello, "another message came back")
print("Python read and wrote \(try MsgPackValue(MsgPackEncoder().encodeBytes(answer)))")

for byteCount in [0, 255, 256, 65_536, 1 << 20] {
  let parcel = Parcel(data: Data(repeating: 0xff, count: byteCount))
  async let echo = child.channel.receive(timeout: .seconds(20))
  try await child.channel.send(parcel, timeout: .seconds(20))
  let received = try await echo
  precondition(received == parcel, "\(byteCount) bytes came back otherwise")
}
child.channel.finishSending()
let status = try await child.waitForExit(timeout: .seconds(20))
precondition(status.isSuccess, "Python \(status)")
print("and echoed bytes up to 1 MiB; it \(status)")

// Prints:
//   Python read and wrote {"data": <48656c6c6f20776f726c6421>}
//   and echoed bytes up to 1 MiB; it exited with code 0
