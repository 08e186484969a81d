import Foundation
import Testing

/// Whether the program that was built can do it: it needs a C library.
private let hasMsgPack = (try? Program.shell("swcat decode --framing msgpack </dev/null").status) == 0

@Suite struct MsgPackTests {
  @Test(.enabled(if: !hasMsgPack))
  func `a build without MessagePack says so`() throws {
    let run = try Program.shell("swcat decode --framing msgpack")
    #expect(run.status == 1)
    #expect(run.complaints.contains("this build has no msgpack"))
  }

  @Test(.enabled(if: hasMsgPack))
  func `tagged values become what Python's msgpack writes, and come back`() throws {
    var lines: [UInt8] = []
    var stream: [UInt8] = []
    for example in try cases("pack", in: vectors("msgpack", of: "SWMsgPackTests")) {
      let value = try #require(example["value"] as? [String: Any])
      // Of some the table has the beginning alone.
      guard example["packed"] != nil, example["packed_length"] == nil, value["t"] as? String != "deep" else {
        continue
      }
      lines += try JSONSerialization.data(withJSONObject: value)
      lines.append(0x0a)
      stream += try wire(example["packed"])
    }
    #expect(stream.count > 100_000)
    let encoded = try Program.shell("swcat encode --framing msgpack --input tagged", input: lines)
    // Not in the expectation: of arrays that differ it would seek all differences, for minutes.
    let isSame = encoded.output == stream
    #expect(isSame)
    #expect(encoded.complaints.isEmpty)
    for format in ["tagged", "hex", "base64"] {
      let again = try Program.shell(
        "swcat decode --framing msgpack --output \(format) | swcat encode --framing msgpack --input \(format)",
        input: stream)
      let isSame = again.output == stream
      #expect(isSame, "\(format)")
    }
  }

  @Test(.enabled(if: hasMsgPack))
  func `streams give as many messages as Python gets of them, and end as there`() throws {
    for example in try cases("streams", in: vectors("msgpack", of: "SWMsgPackTests")) {
      let run = try Program.shell(
        "swcat decode --framing msgpack --output hex", input: try wire(example["wire"]))
      let lengths = try #require(example["message_lengths"] as? [Int])
      #expect(run.text.split(separator: "\n").map { $0.utf8.count / 2 } == lengths)
      #expect(run.status == (example["end"] as? String == "eof" ? 0 : 5))
    }
  }

  @Test(.enabled(if: hasMsgPack))
  func `what is no value is refused, at its place in the stream`() throws {
    for example in try cases("invalid", in: vectors("msgpack", of: "SWMsgPackTests"))
    where example["expect"] as? String == "must be rejected" {
      let run = try Program.shell(
        "swcat decode --framing msgpack --output json", input: [7] + (try wire(example["wire"])))
      #expect(run.status == 3)
      #expect(run.text == "7\n")
      #expect(run.complaints.contains("offset") && run.complaints.contains("found"))
    }
    for line in [
      #"{"t":"int","v":"18446744073709551616"}"#, #"{"t":"set","v":[]}"#, #"{"t":"list","v":[3]}"#, "[]",
    ] {
      let run = try Program.shell("swcat encode --framing msgpack --input tagged", input: Array(line.utf8))
      #expect(run.status == 3)
    }
  }

  @Test(
    .enabled(if: hasMsgPack),
    arguments: [
      ("json", #"{"a":[1,-2.5,null,true,"é"],"b":18446744073709551615}"#), ("text", #"hi \x07"#),
      ("hex", "93010203"),
      ("tagged", #"{"t":"ext","code":-1,"hex":"00"}"#),
      ("tagged", #"{"t":"timestamp","s":"-1","ns":999999999}"#),
      ("tagged", #"{"t":"dict","v":[[{"t":"list","v":[]},{"t":"bytes","hex":"ff"}]]}"#),
      ("json", String(repeating: "[", count: 1024) + String(repeating: "]", count: 1024)),
    ])
  func `lines come back as they were`(_ format: String, _ line: String) throws {
    let run = try Program.shell(
      "swcat encode --framing msgpack --input \(format) | swcat decode --framing msgpack --output \(format)",
      input: Array((line + "\n").utf8))
    #expect(run.text == line + "\n")
    #expect(run.complaints.isEmpty)
  }
}
