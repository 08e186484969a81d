import Testing

@Suite struct ExitStatusTests {
  @Test(arguments: [
    "", "nothing", "decode", "encode", "decode --framing", "decode --framing nothing",
    "decode --framing fixed:0",
    "decode --framing fixed:-1", "decode --framing fixed", "decode --framing delimiter:",
    "decode --framing delimiter:0",
    "decode --framing delimiter:xx", "decode --framing varint --output xml",
    "decode --framing varint --count -1",
    "decode --framing varint --count x", "decode --framing varint --max-frame 0",
    "encode --framing varint --count 1",
    "decode --framing varint --max-frame 1T", "decode --framing varint extra",
    "encode --framing varint --output hex",
  ])
  func `usage is 1, and is explained on standard error, in one line`(_ arguments: String) throws {
    let run = try Program.shell("swcat \(arguments)")
    #expect(run.status == 1)
    #expect(run.output.isEmpty)
    #expect(
      run.complaints.hasPrefix("swcat: ") && run.complaints.contains("(see 'swcat "), "\(run.complaints)")
    #expect(run.complaints.split(separator: "\n").count == 1)
  }

  @Test(arguments: ["--help", "encode --help", "decode -h", "help decode"])
  func `help is asked for and goes to standard output, with examples`(_ arguments: String) throws {
    let run = try Program.shell("swcat \(arguments)")
    #expect(run.status == 0)
    #expect(run.text.contains("Examples:"))
    #expect(run.complaints.isEmpty)
  }

  @Test(arguments: [
    "swcat decode --framing varint <&-", "swcat decode --framing varint </",
    "echo a | swcat encode --framing varint >/dev/full",
    "printf '\\001a' | swcat decode --framing varint >/dev/full",
    "echo a | swcat encode --framing varint 1</dev/null",
  ])
  func `failed input and output are 2`(_ script: String) throws {
    let run = try Program.shell(script)
    #expect(run.status == 2)
    #expect(run.complaints.hasPrefix("swcat: standard "))
  }

  @Test(arguments: [
    ("varint", "0161ffffffffffffffffff00", 2), ("multiprocessing", "0000000161fffffffe", 5),
    ("content-length", "436f6e74656e742d4c656e6774683a20310d0a0d0a61580d0a0d0a", 22),
    ("protobuf", "0161ffffffffffffffffff7f", 11),
  ])
  func `a broken framing is 3, at its offset in the stream, behind every good message`(
    _ framing: String, _ stream: String, _ offset: Int
  ) throws {
    let run = try Program.shell("swcat decode --framing \(framing)", input: try wire(stream))
    #expect(run.status == 3)
    #expect(run.text == "a\n")
    #expect(run.complaints.contains("at offset \(offset):"))
    #expect(run.complaints.contains("expected") && run.complaints.contains("found"))
  }

  @Test func `a message that is not understood is 3, at its offset in the stream`() throws {
    let run = try Program.shell("swcat decode --framing varint --output json", input: try wire("03312c32"))
    #expect(run.status == 3)
    #expect(run.complaints.contains("at offset 2: expected the end of the JSON text; found ',2'"))
    let later = try Program.shell(
      "swcat decode --framing varint --output json", input: try wire("01310232780133"))
    #expect(later.status == 3)
    #expect(later.text == "1\n")
    #expect(later.complaints.contains("at offset 4:"))
  }

  @Test func `frames larger than the limit are 3, both ways`() throws {
    let decoded = try Program.shell(
      "swcat decode --framing varint --max-frame 4", input: try wire("0361626304"))
    #expect(decoded.status == 3)
    #expect(decoded.text == "abc\n")
    #expect(decoded.complaints.contains("at offset 4: expected a frame of at most 4 bytes; found one of 5"))
    let encoded = try Program.shell(
      "swcat encode --framing varint --max-frame 4", input: Array("abc\nabcd\n".utf8))
    #expect(encoded.status == 3)
    #expect(encoded.output == (try wire("03616263")))
    let endless = try Program.shell("swcat encode --framing varint --max-frame 64k </dev/zero")
    #expect(endless.status == 3)
  }

  @Test(arguments: ["u32be", "varint", "lines", "nul", "content-length", "fixed:5", "pickle"])
  func `an end inside a frame is 5, wherever it is cut`(_ framing: String) throws {
    let stream = try Program.shell("swcat encode --framing \(framing)", input: Array("hello\nworld\n".utf8))
      .output
    let half = stream.count / 2
    for end in half...stream.count {
      let run = try Program.shell("swcat decode --framing \(framing)", input: Array(stream[..<end]))
      #expect(run.text == (end == stream.count ? "hello\nworld\n" : "hello\n"))
      #expect(run.status == (end == half || end == stream.count ? 0 : 5))
      if run.status == 5 { #expect(run.complaints.contains("at offset \(end):")) }
    }
  }

  @Test func `a complaint that nobody reads kills nobody`() throws {
    #expect(try Program.shell("swcat decode --framing nothing 2>&-").status == 1)
    let run = try Program.shell("{ { swcat decode --framing varint </; echo $? >&3; } 2>&1 | :; } 3>&1")
    #expect(run.text == "2\n")
  }
}
