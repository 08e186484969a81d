internal import CFloor
internal import Foundation

/// The other end of a measurement: a separate process. It gets its end of the connection as the descriptors 3 (reading) and
/// 4 (writing), and a socket for orders as 5.
final class PeerProcess: Sendable {
  let pid: pid_t
  private let control: Int32
  private let errors: Int32

  /// Starts a peer. `ends` belong to the peer, and are closed here.
  init(_ program: String, _ arguments: [String], ends: Ends?) throws {
    defer { ends?.close() }
    var pair: [Int32] = [-1, -1]
    try checked(
      "socketpair",
      unsafe pair.withUnsafeMutableBufferPointer { unsafe floor_socket_pair(false, $0.baseAddress) })
    defer { _ = floor_close(pair[1]) }
    control = pair[0]
    errors = try checked("memfd_create", floor_memory_file())
    pid = try PeerProcess.spawn(
      program, arguments, [ends?.reading ?? pair[1], ends?.writing ?? pair[1], pair[1]], errors)
  }

  /// A peer that is this program again, in the given role.
  convenience init(role: String, _ arguments: [String] = [], ends: Ends?) throws {
    try self.init("/proc/self/exe", ["peer", role] + arguments, ends: ends)
  }

  private static func spawn(
    _ program: String, _ arguments: [String], _ descriptors: [Int32], _ errors: Int32
  ) throws -> pid_t {
    var pid: pid_t = 0
    var pointers = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
    defer { for index in unsafe pointers.indices { unsafe free(pointers[index]) } }
    let result = unsafe pointers.withUnsafeMutableBufferPointer { pointers in
      unsafe descriptors.withUnsafeBufferPointer { descriptors in
        unsafe floor_spawn(
          program, pointers.baseAddress, descriptors.baseAddress, Int32(descriptors.count), errors, &pid)
      }
    }
    try checked("posix_spawn of \(program)", result)
    return pid
  }

  /// Gives an order: a line on the peer's control socket.
  func order(_ line: String) throws {
    let bytes = Array((line + "\n").utf8)
    try checked(
      "order to the peer",
      unsafe bytes.withUnsafeBytes { unsafe floor_write_all(control, $0.baseAddress, $0.count) })
  }

  /// Waits for a line from the peer; blocks the thread.
  func answer() throws -> String {
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while true {
      try checked("answer of the peer", unsafe floor_read_all(control, &byte, 1))
      if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
      line.append(byte)
    }
  }

  /// Returns everything that the peer answers until it closes its end. Blocks the thread.
  func remainder() -> String {
    var bytes: [UInt8] = []
    var byte: UInt8 = 0
    while unsafe floor_read_all(control, &byte, 1) == 0 { bytes.append(byte) }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The text that it has written to its standard error.
  var errorOutput: String {
    let path = "/proc/self/fd/\(errors)"
    let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// How it ended, in words; empty while it runs and has written no error.
  var fate: String {
    let ended = floor_ended(pid)
    let end = ended >= 256 ? "ended by signal \(ended - 256)" : ended >= 0 ? "exited with \(ended)" : ""
    let said = errorOutput
    return [end, said.isEmpty ? "" : "said: \(said)"].filter { !$0.isEmpty }.joined(separator: ", ")
  }

  func kill() { _ = floor_kill(pid) }

  /// Ends the orders, which ends the peer, and waits for its end. Blocks the thread.
  func finish() {
    _ = floor_close(control)
    _ = floor_wait(pid)
    _ = floor_close(errors)
  }
}
