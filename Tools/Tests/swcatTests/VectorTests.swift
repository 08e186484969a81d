import Foundation
import Testing

@Suite struct VectorTests {
  /// Both ways at once: payloads as lines of hexadecimal digits, and their frames.
  private func expect(_ framing: String, payloads: [[UInt8]], frames: [[UInt8]]) throws {
    let lines = payloads.map { hexadecimal($0) + "\n" }.joined()
    let stream = Array(frames.joined())
    let encoded = try Program.shell("swcat encode --framing \(framing) --input hex", input: Array(lines.utf8))
    let decoded = try Program.shell("swcat decode --framing \(framing) --output hex", input: stream)
    // Not in the expectations: of arrays that differ they would seek all differences, for minutes.
    let (isSameStream, isSameText) = (encoded.output == stream, decoded.text == lines)
    #expect(isSameStream, "\(framing)")
    #expect(isSameText, "\(framing)")
    #expect(encoded.status == 0 && decoded.status == 0)
  }

  @Test func `varint frames are those of Python's socketwrapper`() throws {
    let frames = try cases("frames", in: vectors("varint")).filter {
      $0["payload"] != nil && $0["frame"] != nil
    }
    #expect(frames.count > 10)
    try expect(
      "varint", payloads: frames.map { try wire($0["payload"]) }, frames: frames.map { try wire($0["frame"]) }
    )
  }

  @Test func `multiprocessing frames are those of Python`() throws {
    let frames = try cases("send_bytes", in: vectors("multiprocessing")).filter {
      $0["payload"] != nil && $0["frame"] != nil
    }
    #expect(frames.count > 10)
    try expect(
      "multiprocessing", payloads: frames.map { try wire($0["payload"]) },
      frames: frames.map { try wire($0["frame"]) })
  }

  @Test func `delimited frames are those of Python's socketwrapper`() throws {
    let frames = try cases("frames", in: vectors("delimiter"))
    let byDelimiter = Dictionary(grouping: frames) { $0["delimiter"] as? String ?? "" }
    #expect(byDelimiter.count > 3)
    for (delimiter, frames) in byDelimiter {
      try expect(
        "delimiter:\(delimiter)", payloads: frames.map { try wire($0["payload"]) },
        frames: frames.map { try wire($0["frame"]) })
    }
  }

  @Test func `payloads that would read back otherwise are refused`() throws {
    let refused = try cases("ambiguous", in: vectors("delimiter"))
    #expect(!refused.isEmpty)
    for example in refused {
      let delimiter = try #require(example["delimiter"] as? String)
      let run = try Program.shell(
        "swcat encode --framing delimiter:\(delimiter) --input hex",
        input: Array("6f6b\n\(hexadecimal(try wire(example["payload"])))\n".utf8))
      #expect(run.status == 3)
      #expect(hexadecimal(run.output) == "6f6b" + delimiter, "the message before it has been sent")
      #expect(run.complaints.contains("line 2"))
    }
  }

  @Test(arguments: ["delimiter", "varint"])
  func `streams give the messages that Python gets of them, and end as there`(_ name: String) throws {
    // Each is a process: some of the many.
    for example in try cases("streams", in: vectors(name)).enumerated().filter({ $0.offset % 6 == 0 }).map(
      \.element)
    {
      let framing = (example["delimiter"] as? String).map { "delimiter:\($0)" } ?? "varint"
      let messages = try #require(example["messages"] as? [Any])
      let run = try Program.shell(
        "swcat decode --framing \(framing) --output hex", input: try wire(example["wire"]))
      #expect(run.text == (try messages.map { hexadecimal(try wire($0)) + "\n" }.joined()))
      #expect(run.status == (example["end"] as? String == "eof" ? 0 : 5))
    }
  }

  private func pickleFrame(_ pickle: [UInt8]) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: pickle.count >> (24 - 8 * $0)) } + pickle
  }

  @Test func `tagged values become the very pickles that CPython writes, and pickles the values`() throws {
    let values = try cases("values", in: vectors("pickle", of: "SWPickleTests"))
    #expect(values.count > 100)
    var lines: [UInt8] = []
    var frames: [UInt8] = []
    for example in values {
      lines += try JSONSerialization.data(withJSONObject: try #require(example["value"]))
      lines.append(0x0a)
      frames += pickleFrame(try wire((example["pickles"] as? [String: Any])?["4"]))
    }
    let encoded = try Program.shell("swcat encode --framing pickle --input tagged", input: lines)
    #expect(encoded.status == 0)
    let isSame = encoded.output == frames
    #expect(isSame)
    #expect(encoded.complaints.isEmpty)
    // Written out, they are longer than the tables have them; so they are compared as what they become again.
    let again = try Program.shell(
      "swcat decode --framing pickle --output tagged | swcat encode --framing pickle --input tagged",
      input: frames)
    let isSameAgain = again.output == frames
    #expect(isSameAgain)
  }

  @Test func `tagged values are written as the tables have them`() throws {
    for example in try cases("values", in: vectors("pickle", of: "SWPickleTests")) {
      let value = try #require(example["value"] as? [String: Any])
      guard let type = value["t"] as? String, ["none", "bool", "int", "bytes"].contains(type),
        value["hex"] == nil || value["hex"] is String, value["id"] == nil,
        // The tables have long ints in hexadecimal digits, from fewer of them on than we.
        (value["v"] as? String)?.contains("x") != true
      else { continue }
      let frame = pickleFrame(try wire((example["pickles"] as? [String: Any])?["4"]))
      let run = try Program.shell("swcat decode --framing pickle --output tagged", input: frame)
      let shown = try JSONSerialization.jsonObject(with: Data(run.output)) as? [String: Any]
      #expect(NSDictionary(dictionary: try #require(shown)) == NSDictionary(dictionary: value))
    }
  }

  @Test func `hostile pickles are refused or shown, never run, and what came before them has been shown`()
    throws
  {
    let good = pickleFrame([0x80, 4, 0x4b, 7, 0x2e])
    for example in try cases("hostile", in: vectors("pickle", of: "SWPickleTests"))
    where example["expect"] as? String == "must be rejected" {
      let run = try Program.shell(
        "swcat decode --framing pickle --output tagged", input: good + pickleFrame(try wire(example["wire"])))
      if run.status == 0 {
        // A call that Python would make is shown as a call.
        #expect(run.text.contains(#""t":"global""#), "\(example["why"] ?? "")")
        continue
      }
      #expect(run.status == 3, "\(example["why"] ?? "")")
      #expect(run.text == #"{"t":"int","v":"7"}"# + "\n")
      #expect(run.complaints.contains("offset") && run.complaints.contains("found"))
    }
  }
}
