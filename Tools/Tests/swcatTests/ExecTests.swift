import Foundation
import Testing

@Suite struct ExecTests {
  @Test func `lines go in, messages come out`() throws {
    let run = try Program.shell("swcat exec --framing lines -- sort", input: Array("b\nc\na\n".utf8))
    #expect(run.text == "a\nb\nc\n" && run.status == 0 && run.complaints.isEmpty)
    let arguments = try Program.shell(
      "swcat exec --framing nul --output hex -- printf '%s\\0' -x '' 'a b' --count")
    #expect(arguments.text == "2d78\n\n612062\n2d2d636f756e74\n")
  }

  @Test func `the channel may have a number, and then other output is not mixed with messages`() throws {
    let run = try Program.shell(
      "swcat exec --framing lines --fd 7 -- sh -c 'echo noise; echo $SOCKETWRAPPER_FD >&7; cat <&7 >&7'",
      input: Array("hello\n".utf8))
    #expect(run.text == "7\nhello\n")
    #expect(run.complaints == "noise\n")
    #expect(run.status == 0)
  }

  @Test(arguments: [
    ("exit 3", "exit"), ("kill -KILL $$", "sh: "), ("echo a; exit 1", "sh: "),
  ])
  func `a program that fails is 2`(_ script: String, _ text: String) throws {
    let run = try Program.shell("swcat exec --framing lines -- sh -c '\(script)' </dev/null")
    #expect(run.status == 2)
    #expect(run.complaints.hasPrefix("swcat: sh: "), "\(run.complaints)")
  }

  @Test func `rubbish from a program is 3, a cut message 5, silence 4`() throws {
    let broken = try Program.shell("swcat exec --framing content-length -- echo hello there </dev/null")
    #expect(broken.status == 3 && broken.complaints.contains("swcat: echo: the stream broke the framing"))
    let cut = try Program.shell("swcat exec --framing u32be -- printf '\\0\\0\\0\\5ab' </dev/null")
    #expect(cut.status == 5 && cut.complaints.contains("ended inside a frame"))
    let silent = try Program.shell("swcat exec --framing lines --timeout 0.2 -- sleep 60 </dev/null")
    #expect(silent.status == 4)
  }

  @Test func `a program that does not end is ended when it has had its time`() throws {
    let run = try Program.shell(
      "echo a | swcat exec --framing lines --linger 0.3 -- sh -c 'cat; exec sleep 600'")
    #expect(run.text == "a\n")
    #expect(run.status == 0 && run.complaints.isEmpty)
  }

  @Test func `skipped messages are told in the end`() throws {
    let run = try Program.shell(
      "swcat exec --framing lines --output json --skip-undecodable -- printf '1\\nx\\n2\\n' </dev/null")
    #expect(run.text == "1\n2\n" && run.status == 3)
    #expect(run.complaints.contains("at offset 2"))
    let decoded = try Program.shell(
      "printf '1\\nx\\n2\\n' | swcat decode --framing lines --output json --skip-undecodable")
    #expect(decoded.text == "1\n2\n" && decoded.status == 3)
  }
}
