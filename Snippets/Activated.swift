// A service that systemd starts when the first client comes. The socket is systemd's: it is there before the service, and
// clients wait in it until the service accepts them. Here `systemd-socket-activate` plays systemd, and this program is both
// the service and its client.
import Foundation
import SWMessaging

// Started with a socket: the service. It serves one client and ends.
if let listener = try Listener.inherited(named: "control", framing: .lines) {
  let peer = try await listener.accept(timeout: .seconds(60))
  while let line = try await peer.next(timeout: .seconds(60)) { try await peer.send(line + Array("!".utf8)) }
  exit(0)
}

let program = "/usr/bin/systemd-socket-activate"
guard FileManager.default.isExecutableFile(atPath: program) else {
  print("skipped: no \(program) here")
  exit(0)
}
let directory = FileManager.default.temporaryDirectory.appending(path: "activated-\(UUID())")
try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
defer { try? FileManager.default.removeItem(at: directory) }
let path = "\(directory.path)/control.sock"

let service = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
var manager = Command(program, arguments: ["--listen=\(path)", "--fdname=control", service])
manager.standardError = .null
try await withChildProcess(manager) { _ in
  // The manager's socket is there soon, and the service is started by this connection.
  let peer = try await connect(
    to: Address(parsing: "unix:\(path)"), framing: .lines, waitingForServer: true, timeout: .seconds(60))
  try await peer.send("hello")
  let answer = String(decoding: try await peer.receive(timeout: .seconds(60)), as: UTF8.self)
  print(answer)
  precondition(answer == "hello!")
  peer.close()
}

// Prints:
//   hello!
