import Foundation
import Testing

@Suite struct StreamTests {
  @Test(arguments: ["encode --framing lines", "decode --framing lines"])
  func `a closed standard output ends an endless stream quietly`(_ command: String) throws {
    let run = try Program.shell("{ yes | { swcat \(command); echo $? >&3; } | head -n 1; } 3>&1 1>&2")
    #expect(run.text == "0\n")
    #expect(run.complaints == "y\n")
    let closed = try Program.shell("echo a | swcat \(command) >&-")
    #expect(closed.status == 0)
    #expect(closed.complaints.isEmpty)
  }

  @Test func `a million short messages go both ways`() throws {
    let run = try Program.shell(
      "yes | head -n 1000000 | swcat encode --framing varint | swcat decode --framing varint | sort -u | tr '\\n' :; "
        + "yes | head -n 1000000 | swcat encode --framing u32be | swcat decode --framing u32be --output hex | wc -l"
    )
    #expect(run.text == "y:1000000\n")
  }

  @Test func `a count ends it, and what is behind the last message is left for the next`() throws {
    let frames = Array("\u{1}a\u{1}b\u{1}c".utf8)
    #expect(try Program.shell("swcat decode --framing varint --count 2", input: frames).text == "a\nb\n")
    #expect(try Program.shell("swcat decode --framing varint --count 0", input: frames).text == "")
    let all = try Program.shell("swcat decode --framing varint --count 9", input: frames)
    #expect(all.text == "a\nb\nc\n" && all.status == 0)
    let shared = try Program.shell(
      "cat | { swcat decode --framing varint --count 1; swcat decode --framing varint --count 1 --output hex; cat; }",
      input: frames)
    #expect(shared.text == "a\n62\n\u{1}c")
    #expect(try Program.shell("yes | swcat decode --framing lines --count 3").text == "y\ny\ny\n")
  }

  @Test func `each message is printed as it comes`() throws {
    let conversation = try Conversation("decode", "--framing", "u8")
    for text in ["a", "bc", ""] {
      try conversation.write([UInt8(text.utf8.count)] + Array(text.utf8))
      #expect(try conversation.read(text.utf8.count + 1) == Array("\(text)\n".utf8))
    }
    // Half a frame holds nothing back.
    try conversation.write([1, 0x64, 5, 0x65])
    #expect(try conversation.read(2) == Array("d\n".utf8))
    try conversation.finishWriting()
    conversation.process.waitUntilExit()
    #expect(conversation.process.terminationStatus == 5)
  }

  @Test func `frames leave as their lines come`() throws {
    let conversation = try Conversation("encode", "--framing", "u8")
    for text in ["a", "bc", ""] {
      try conversation.write(Array("\(text)\n".utf8))
      #expect(try conversation.read(text.utf8.count + 1) == [UInt8(text.utf8.count)] + Array(text.utf8))
    }
    try conversation.finishWriting()
    conversation.process.waitUntilExit()
    #expect(conversation.process.terminationStatus == 0)
  }

  @Test(arguments: ["decode", "encode"])
  func `an endless stream takes no more memory than its beginning`(_ command: String) throws {
    let conversation = try Conversation(command, "--framing", "lines")
    let block = Array(String(repeating: "hello, world\n", count: 5000).utf8)
    let (early, late) = (40, 1200)
    let input = conversation.writingEnd
    let writer = Thread {
      for _ in 0..<late { try? input.write(contentsOf: Data(block)) }
    }
    writer.start()
    for _ in 0..<early { #expect(try conversation.read(block.count) == block) }
    let beginning = try conversation.peakMemory
    for _ in early..<late { #expect(try conversation.read(block.count).count == block.count) }
    // 75 MB later.
    let end = try conversation.peakMemory
    #expect(end - beginning < 2048, "KiB: \(beginning), then \(end)")
    // Not before: a process that has ended has no memory.
    try conversation.finishWriting()
    #expect(try conversation.read(1) == [])
    conversation.process.waitUntilExit()
    #expect(conversation.process.terminationStatus == 0)
  }

  @Test func `standard streams may be files, empty ones and /dev/null`() throws {
    #expect(try Program.shell("swcat decode --framing varint </dev/null").status == 0)
    #expect(try Program.shell("echo a | swcat encode --framing varint >/dev/null").status == 0)
    let appended = try Program.shell(
      "f=$(mktemp); echo a >$f; echo b | swcat encode --framing lines >>$f; cat $f; rm $f")
    #expect(appended.text == "a\nb\n")
  }
}
