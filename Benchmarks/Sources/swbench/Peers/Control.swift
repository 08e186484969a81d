internal import CFloor

/// The peer's side of its control socket.
enum Control {
  static func answer(_ line: String) throws {
    let bytes = Array((line + "\n").utf8)
    try checked(
      "answer",
      unsafe bytes.withUnsafeBytes { unsafe floor_write_all(PeerCommand.control, $0.baseAddress, $0.count) })
  }

  /// Returns the next order, or nil if there are no more. Blocks the thread.
  static func nextOrder() -> String? {
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while unsafe floor_read_all(PeerCommand.control, &byte, 1) == 0 {
      if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
      line.append(byte)
    }
    return nil
  }
}
