import Foundation
import SWMessaging
import SWMsgPack
import SWTesting

/// The memory that MessagePack takes for a stream that promises much.
extension Probe {
  /// Receives bytes that a peer chose badly, and says by how much the resident set has grown at its peak, in
  /// percent of them.
  ///
  /// - Parameters:
  ///   - name: a stream of ``bomb(_:_:)``.
  ///   - reader: how it is read: `endpoint` and `unlimited` (with no limits but those of the format) receive
  ///     values of any shape, `typed` receives arrays of integers, `value` and `decoder` are given all bytes
  ///     at once.
  static func msgPackMemory(_ name: String, reader: String, _ byteCount: Int) throws {
    // Memory of the code itself, and memory that allocators keep.
    _ = try outcome(of: bomb(name, 1000), reader: reader)
    let bytes = bomb(name, byteCount)
    let before = resetPeakKilobytes()
    let outcome = try outcome(of: bytes, reader: reader)
    print("percent=\((peakKilobytes() - before) * 1024 * 100 / bytes.count)")
    print("outcome=\(outcome)")
  }

  /// So many bytes: a header that promises too much, again and again or followed by the smallest values that
  /// there are; or arrays that keep their promise. The long ones promise as much as any limit allows.
  private static func bomb(_ name: String, _ byteCount: Int) -> [UInt8] {
    let most: [UInt8] = [0xff, 0xff, 0xff, 0xff]
    func filled(_ header: [UInt8], with unit: [UInt8]) -> [UInt8] {
      let units = max(0, byteCount - header.count) / unit.count
      return header + (0..<units).flatMap { _ in unit }
    }
    func length(_ count: Int) -> [UInt8] {
      (0..<4).reversed().map { UInt8(truncatingIfNeeded: count >> (8 * $0)) }
    }
    switch name {
    case "arrays": return filled([], with: [0xdd] + most)
    case "maps": return filled([], with: [0xdf] + most)
    case "binaries": return filled([], with: [0xc6] + most)
    case "strings": return filled([], with: [0xdb] + most)
    case "extensions": return filled([], with: [0xc9] + most)
    case "levels": return filled([], with: [0x91])
    case "long-array": return filled([0xdd, 0xff, 0xff, 0xff, 0xf0], with: [0xc0])
    case "long-map": return filled([0xdf, 0x7f, 0xff, 0xff, 0xf0], with: [0xc0])
    case "long-binary": return filled([0xc6] + most, with: [0xc0])
    case "nested":
      return filled(Array((0..<32).flatMap { _ in [0xdd, 0x07, 0xff, 0xff, 0xff] }), with: [0xc0])
    case "nils": return filled([0xdd] + length(byteCount - 5), with: [0xc0])
    case "empties": return filled([0xdd] + length(byteCount - 5), with: [0x90])
    case "pairs": return filled([0xdd] + length((byteCount - 5) / 2), with: [0x91, 0xc0])
    default: preconditionFailure("no stream \(name)")
    }
  }

  private static func outcome(of bytes: [UInt8], reader: String) throws -> String {
    let limits = MsgPackLimits(depth: MsgPackLimits.deepest, elements: .max)
    var decoder = MsgPackDecoder()
    decoder.limits = limits
    switch reader {
    case "endpoint": return try received(bytes, .msgPackValues, defaultMaximumFrameSize)
    case "unlimited": return try received(bytes, .msgPackValues(limits: limits), .max)
    case "typed": return try received(bytes, .msgPack([Int?].self, decoder: decoder), .max)
    case "value":
      do {
        _ = try MsgPackValue(bytes, limits: limits)
        return "value"
      } catch {
        return "\(error.kind)"
      }
    case "decoder":
      do {
        _ = try decoder.decode([Int?].self, from: bytes)
        return "value"
      } catch DecodingError.dataCorrupted(let context) {
        return (context.underlyingError as? MsgPackError).map { "\($0.kind)" } ?? "DecodingError"
      } catch is DecodingError {
        return "DecodingError"
      }
    default: preconditionFailure("no reader \(reader)")
    }
  }

  private static func received<F: Framing>(
    _ bytes: [UInt8], _ framing: F, _ maximumFrameSize: Int
  ) throws -> String {
    let (raw, writer) = try makePipe()
    let reader = MessageReader(over: raw, framing: framing, maximumFrameSize: maximumFrameSize)
    let sending = TestThread {
      // A program that refuses the stream closes it.
      _ = try? writer.blocking.send(bytes)
      writer.close()
    }
    defer {
      reader.close()
      try? sending.join()
    }
    do throws(EndpointError) {
      _ = try reader.blocking.receive()
      return "value"
    } catch {
      switch error.reason {
      case .framing(let cause): return "\(cause.kind)"
      case .codec(let cause): return "\(type(of: cause))"
      default: return "\(error.reason)"
      }
    }
  }

  /// Lets the peak begin anew, where the kernel can, and says what is resident.
  ///
  /// Every page of the program and its libraries is resident before: the kernel maps them many at a time, as
  /// many as the page cache holds together, and half a megabyte more or less would count as the measured code's.
  static func resetPeakKilobytes() -> Int {
    // `String(contentsOfFile:)` ends with the first page of such a file.
    let text = try? FileHandle(forReadingAtPath: "/proc/self/maps")?.readToEnd()
    let mappings = String(decoding: text ?? Data(), as: UTF8.self)
    for mapping in mappings.split(separator: "\n") where mapping.contains("/") && mapping.contains(" r") {
      let bounds = mapping.prefix { $0 != " " }.split(separator: "-").compactMap {
        UInt(String($0), radix: 16)
      }
      guard bounds.count == 2 else { continue }
      // MADV_POPULATE_READ, since Linux 5.14.
      let populateRead: Int32 = 22
      _ = unsafe madvise(
        UnsafeMutableRawPointer(bitPattern: bounds[0]), Int(bounds[1] - bounds[0]), populateRead)
    }
    try? Data("5".utf8).write(to: URL(filePath: "/proc/self/clear_refs"))
    return status("VmRSS:")
  }
}
