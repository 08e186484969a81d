// A framing of one's own, from nothing to the laws: docs/Guide.docc/WritingAFraming.md walks through it.
//
// The format is that of netstrings: the payload's length in decimal digits, a colon, the payload, a comma.
//
//     5:hello,
import SWJSON
import SWMessaging
import SWTesting

// begin framing
/// D. J. Bernstein's netstrings, <https://cr.yp.to/proto/netstrings.txt>: `5:hello,`.
struct NetstringFraming: ByteFraming {
  func makeScanner() -> Scanner { Scanner() }

  func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    FrameEnvelope(header: ShortBytes("\(payload.count):".utf8), trailer: [UInt8(ascii: ",")])
  }

  struct Scanner: FrameScanner {
    /// An `Int` holds every number of this many digits, and what is added to it below.
    static let mostDigits = 18

    mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      var length = 0
      for index in 0..<min(received.count, Self.mostDigits + 1) {
        switch received[index] {
        case UInt8(ascii: ":") where index > 0:
          let payload = (index + 1)..<(index + 1 + length)
          // The comma after the payload belongs to the frame: demand it, then look at it.
          guard received.count > payload.upperBound else { return .atLeast(payload.upperBound + 1) }
          guard received[payload.upperBound] == UInt8(ascii: ",") else {
            throw FramingError(
              .malformedHeader, offset: payload.upperBound,
              explanation: "expected a comma after the payload; found byte \(received[payload.upperBound])")
          }
          return .frame(byteCount: payload.upperBound + 1, payload: payload)
        case UInt8(ascii: "0")...UInt8(ascii: "9") where index == Self.mostDigits:
          throw FramingError(
            .malformedHeader, offset: index,
            explanation: "expected a length of at most \(Self.mostDigits) digits; found another digit")
        case let digit where UInt8(ascii: "0")...UInt8(ascii: "9") ~= digit:
          if index == 1, length == 0 {
            throw FramingError(.malformedHeader, offset: 0, explanation: "a length has no leading zeros")
          }
          length = 10 * length + Int(digit - UInt8(ascii: "0"))
        case let other:
          throw FramingError(
            .malformedHeader, offset: index,
            explanation: "expected a digit of the length; found byte \(other)")
        }
      }
      return .atLeast(received.count + 1)
    }
  }
}

extension Framing where Self == NetstringFraming {
  static var netstrings: NetstringFraming { NetstringFraming() }
}
// end framing

// begin check
try checkFraming(.netstrings, messages: [[], [1], Array(repeating: 7, count: 10_000)]) { byteCount in
  Array(repeating: 9, count: byteCount)
}
// end check
print("netstrings keep the laws")
for (bytes, fault) in [
  ("007:1234567,", "leading zeros"), ("00:,", "leading zeros"), ("1234567890123456789:", "at most 18 digits"),
  ("-1:", "a digit"), ("1:ab", "a comma"),
] {
  do {
    _ = try NetstringFraming.netstrings.decode(filling: Array(bytes.utf8))
    preconditionFailure("\(bytes) is no netstring")
  } catch let error as FramingError {
    precondition(error.explanation.contains(fault), error.explanation)
  }
}

// begin use
let (left, right) = try makeSocketPair(framing: .netstrings)
try await left.send("hello")
let received = String(decoding: try await right.receive(), as: UTF8.self)
// end use
precondition(received == "hello")

// begin compose
struct Point: Codable, Equatable, Sendable {
  var x: Double
  var y: Double
}
let points = NetstringFraming.netstrings.json(Point.self)
try checkFraming(points, messages: [Point(x: 0, y: 0), Point(x: -1, y: 2.5)])
// end compose
print("JSON over netstrings does too")

// Prints:
//   netstrings keep the laws
//   JSON over netstrings does too
