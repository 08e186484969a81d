import Foundation
import SWTesting

/// Payloads around every border of the varint header, and large ones.
enum Payloads {
  static let sizes = [0, 1, 240, 241, 2_287, 2_288, 67_823, 67_824, 1 << 20]
  static let hugeSize = 100 << 20

  private static let pattern = makeBytes(65_521) { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }

  /// Bytes whose pattern has no period near any buffer's size.
  static func payload(_ size: Int) -> [UInt8] {
    var payload: [UInt8] = []
    payload.reserveCapacity(size)
    while payload.count < size { payload += pattern.prefix(size - payload.count) }
    return payload
  }

  static let all = sizes.map { payload($0) }

  /// Runs `body` with the name of a file that holds them all as `peer.py --file` takes them.
  static func withFile<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let url = FileManager.default.temporaryDirectory.appending(path: "sw-payloads-\(UUID().uuidString)")
    try lines.write(to: url)
    defer { try? FileManager.default.removeItem(at: url) }
    return try await body(url.path)
  }

  private static let lines: Data = {
    let digits = Array("0123456789abcdef".utf8)
    var lines: [UInt8] = []
    for payload in all {
      lines += Array(#"{"hex": ""#.utf8)
      for byte in payload {
        lines.append(digits[Int(byte >> 4)])
        lines.append(digits[Int(byte & 15)])
      }
      lines += Array("\"}\n".utf8)
    }
    return Data(lines)
  }()
}

/// Whether two payloads are the same; quick even without optimisation.
func areSame(_ a: [UInt8], _ b: [UInt8]) -> Bool {
  a.count == b.count && Data(a) == Data(b)
}
