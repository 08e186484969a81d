import Testing

@Suite struct RoundTripTests {
  /// Every framing of bytes, with what its payloads cannot be.
  enum Framing: String, CaseIterable, CustomTestStringConvertible, Sendable {
    case varint
    case multiprocessing
    case lines
    case nul
    case delimiter = "delimiter:0d0A"
    case u8
    case u16be
    case u16le
    case u32be
    case u32le
    case u64be
    case u64le
    case contentLength = "content-length"
    case protobuf
    case fixed = "fixed:7"

    var testDescription: String { rawValue }

    /// Payloads of random bytes: short ones of each length, a longer one, and one of each byte.
    func payloads(_ random: inout Seeded) -> [[UInt8]] {
      let lengths = self == .fixed ? Array(repeating: 7, count: 40) : Array(0...30) + [100, 250]
      let longer = self == .u8 || self == .fixed ? [] : [300, 3000]
      var payloads = (lengths + longer).map { length in (0..<length).map { _ in byte(&random) } }
      if self != .fixed, self != .u8 {
        payloads.append((0...255).map { UInt8($0) }.filter { !isForbidden($0) })
      }
      return payloads
    }

    private func byte(_ random: inout Seeded) -> UInt8 {
      // Half of them text, or there would be hardly any that is valid.
      while true {
        let byte = UInt8.random(in: Bool.random(using: &random) ? 0...255 : 0x20...0x7e, using: &random)
        if !isForbidden(byte) { return byte }
      }
    }

    private func isForbidden(_ byte: UInt8) -> Bool {
      switch self {
      case .lines: byte == 0x0a || byte == 0x0d
      case .nul: byte == 0
      case .delimiter: byte == 0x0d
      default: false
      }
    }
  }

  @Test(arguments: Framing.allCases, ["text", "hex", "base64", "tagged"])
  func `bytes come back through every framing and every format`(_ framing: Framing, _ format: String) throws {
    var random = Seeded(state: 7)
    let lines = framing.payloads(&random).map { hexadecimal($0) + "\n" }.joined()
    let run = try Program.shell(
      """
      F=\(framing.rawValue)
      swcat encode --framing $F --input hex | swcat decode --framing $F --output \(format) \
        | swcat encode --framing $F --input \(format) | swcat decode --framing $F --output hex
      """, input: Array(lines.utf8))
    #expect(run.text == lines)
    #expect(run.complaints.isEmpty)
  }

  @Test(arguments: [
    ("varint", "0568656c6c6f"), ("multiprocessing", "0000000568656c6c6f"), ("lines", "68656c6c6f0a"),
    ("nul", "68656c6c6f00"), ("delimiter:2d2d", "68656c6c6f2d2d"), ("u8", "0568656c6c6f"),
    ("u16be", "000568656c6c6f"), ("u16le", "050068656c6c6f"), ("u32be", "0000000568656c6c6f"),
    ("u32le", "0500000068656c6c6f"), ("u64be", "000000000000000568656c6c6f"),
    ("u64le", "050000000000000068656c6c6f"), ("protobuf", "0568656c6c6f"), ("fixed:5", "68656c6c6f"),
    ("content-length", "436f6e74656e742d4c656e6774683a20350d0a0d0a68656c6c6f"),
    ("pickle", "00000014800495090000000000000" + "08c0568656c6c6f942e"),
  ])
  func `each name makes the frames of its framing`(_ name: String, _ frame: String) throws {
    let run = try Program.shell("swcat encode --framing \(name)", input: Array("hello\n".utf8))
    #expect(hexadecimal(run.output) == frame)
    #expect(run.status == 0)
    let back = try Program.shell("swcat decode --framing \(name)", input: run.output)
    #expect(back.text == "hello\n")
  }

  @Test func `text is escaped where it is not printable UTF-8`() throws {
    let bytes: [UInt8] =
      Array("a\\b\té\u{85}\u{1f600}\0\r\n\u{7f}".utf8) + [0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80, 0xe2, 0x82]
    let run = try Program.shell("swcat decode --framing fixed:\(bytes.count)", input: bytes)
    #expect(run.text == #"a\\b\té\xc2\x85😀\x00\r\n\x7f\xff\xc0\x80\xed\xa0\x80\xe2\x82"# + "\n")
  }

  @Test func `a last line does without its line feed, and an empty line is an empty message`() throws {
    let run = try Program.shell("swcat encode --framing u8", input: Array("a\n\n\\0b".utf8))
    #expect(run.output == [1, 0x61, 0, 2, 0, 0x62])
    #expect(try Program.shell("swcat encode --framing u8").output == [])
  }

  @Test func `JSON payloads are shown on one line, spelled as they were`() throws {
    let pretty = "{\n  \"b\" : [ 1.50, -0, 1e9, true ],\r\n\t\"a\": \"\\u00e9 é\", \"a\": {}, \"c\": [] }\n"
    let run = try Program.shell(
      "swcat decode --framing fixed:\(pretty.utf8.count) --output json", input: Array(pretty.utf8))
    #expect(run.text == #"{"b":[1.50,-0,1e9,true],"a":"\u00e9 é","a":{},"c":[]}"# + "\n")
  }

  @Test func `control characters in JSON do not reach the terminal, whatever the payload is`() throws {
    let text = #"{"a\#u{9b}1m\#u{7f}é\#u{85}\#u{a0}":["\#u{9f}"]}"#
    let bytes = try Program.shell(
      "swcat encode --framing u8 --input json | swcat decode --framing u8 --output json",
      input: Array("\(text)\n".utf8))
    #expect(bytes.text == #"{"a\u009b1m\u007fé\u0085\#u{a0}":["\u009f"]}"# + "\n")
    let values = try Program.shell(
      "swcat encode --framing pickle --input json | swcat decode --framing pickle --output json",
      input: Array("\(text)\n".utf8))
    #expect(values.text == bytes.text)
  }

  @Test(arguments: [
    "", "{", "[1,]", "{\"a\":1,}", "{a:1}", "01", "1.", "-", "+1", "nul", "truex", "\"\\x\"", "\"\\ud8\"",
    "[1 2]",
    "\"a\tb\"", "'a'", "[1]]", "\"",
  ])
  func `what is no JSON is refused`(_ text: String) throws {
    let run = try Program.shell("swcat encode --framing u8 --input json", input: Array((text + "\n").utf8))
    #expect(run.status == 3)
    #expect(run.output.isEmpty)
  }

  @Test func `nesting of any depth recurses nowhere`() throws {
    let depth = 200_000
    let text = String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "\n"
    let bytes = try Program.shell(
      "swcat encode --framing u32be --input json | swcat decode --framing u32be --output json",
      input: Array(text.utf8))
    #expect(bytes.text == text)
    let values = try Program.shell(
      "swcat encode --framing pickle --input json | swcat decode --framing pickle --output json; echo $?",
      input: Array(text.utf8))
    #expect(values.text == "3\n")
    #expect(values.complaints.contains("limit") || values.complaints.contains("expected"))
  }
}
