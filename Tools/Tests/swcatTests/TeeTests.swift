import Foundation
import Testing

/// The file of `--tee` ends with the bytes that broke a stream, so that a reader of the file finds the same fault.
@Suite struct TeeTests {
  let directory: Directory
  var socket: String { "unix:\(directory.path)/s" }

  init() throws { directory = try Directory() }

  /// A stream, and what is wrong with it: two whole frames, and then the fault and something behind it.
  struct Broken: CustomTestStringConvertible, Sendable {
    var framing: String
    var good: String
    var bad: String
    var status: Int32
    var options = ""

    var stream: [UInt8] { get throws { try wire(good) + wire(bad) } }
    var testDescription: String { "\(framing), \(status) \(options)" }
  }

  static let broken = [
    Broken(framing: "varint", good: "01610162", bad: "ffffffffffffffffff0163", status: 3),
    Broken(framing: "u32be", good: "00000001610000000162", bad: "ffffffff0163", status: 3),
    Broken(framing: "u8", good: "01610162", bad: "056364", status: 5),
    Broken(framing: "lines", good: "610a620a", bad: "636465660a", status: 3, options: "--max-frame 4"),
    // A wrong name of a header shows when the headers end.
    Broken(
      framing: "content-length",
      good: "436f6e74656e742d4c656e6774683a20310d0a0d0a61436f6e74656e742d4c656e6774683a20310d0a0d0a62",
      bad: "436f6e74656e742d4c656e6774683a20780d0a0d0a63", status: 3),
    Broken(framing: "fixed:2", good: "61616262", bad: "63", status: 5),
  ]

  @Test(arguments: broken, [false, true])
  func `decode keeps the bytes that broke the stream`(_ broken: Broken, _ showsProgress: Bool) throws {
    let run = try Program.shell(
      """
      swcat decode --framing \(broken.framing) \(broken.options) \(showsProgress ? "--progress" : "") --tee $DIR/tee
      """, input: try broken.stream, in: directory)
    #expect(run.status == broken.status, "\(run)")
    let tee = Array(try Data(contentsOf: directory.url.appending(path: "tee")))
    #expect(tee == (try broken.stream))
  }

  @Test(arguments: broken)
  func `a client of a service keeps them, and the tee reads as the stream did`(_ broken: Broken) throws {
    try Data(try broken.stream).write(to: directory.url.appending(path: "stream"))
    let service = try Service(
      socket, "--framing", "fixed:1", "--exec", "cat '\(directory.path)/stream'", in: directory)
    for command in [
      "receive \(socket)", "connect \(socket)", "relay \(socket) fd:3,4", "exec",
    ] {
      let framings = command.hasPrefix("relay") ? "--from F --to F" : "--framing F"
      let run = try Program.shell(
        """
        mkfifo $DIR/f 2>/dev/null
        swcat \(command) \(framings.replacing("F", with: broken.framing)) \(broken.options) --tee $DIR/tee \
          \(command == "exec" ? "-- cat $DIR/stream" : "") 0<>$DIR/f 3</dev/null 4>$DIR/other >$DIR/out; echo $?
        swcat decode --framing \(broken.framing) \(broken.options) <$DIR/tee 2>&1 >$DIR/out2; echo $?
        """, in: directory)
      let lines = run.text.split(separator: "\n")
      #expect(lines.first == "\(broken.status)" && lines.last == "\(broken.status)", "\(command): \(run)")
      #expect(run.complaints.contains("the stream "), "\(command): \(run)")
      let tee = Array(try Data(contentsOf: directory.url.appending(path: "tee")))
      #expect(tee == (try broken.stream), "\(command)")
    }
    _ = try service.end()
  }

  @Test func `relay keeps what the second peer broke, and listen what a client and a command did`() throws {
    let service = try Service(
      socket, "--framing", "fixed:1", "--exec", #"printf '\001a\377\377\377\377\377\377\377\377\377'"#,
      in: directory)
    let relay = try Program.shell(
      """
      swcat relay stdio: \(socket) --from varint --to varint --tee $DIR/tee </dev/null >$DIR/out; echo $?
      od -An -tx1 $DIR/tee
      """, in: directory)
    #expect(relay.text == "3\n 01 61 ff ff ff ff ff ff ff ff ff\n", "\(relay)")
    _ = try service.end()
    let listen = try Program.shell(
      #"""
      printf '\001a\005b' | swcat listen stdio: --framing varint --echo --tee $DIR/tee >$DIR/out; echo $?
      od -An -tx1 $DIR/tee
      printf '\001a' | swcat listen stdio: --framing varint --exec "cat; printf '\005b'" --tee $DIR/tee >$DIR/out; echo $?
      od -An -tx1 $DIR/tee
      """#, in: directory)
    #expect(listen.text == "5\n 01 61 01 61 05 62\n5\n 01 61 01 61 05 62\n", "\(listen)")
  }

  @Test func `nothing is written behind the bytes that broke a stream`() throws {
    let service = try Service(
      socket, "--framing", "u8", "--echo", "--tee", "\(directory.path)/tee", in: directory)
    #expect(try Program.shell("swcat call \(socket) --framing u8 one", in: directory).text == "one\n")
    _ = try Program.shell(#"printf '\011half' | swcat send \#(socket) --framing fixed:5"#, in: directory)
    #expect(service.waits(forSaying: "ended inside a frame"))
    #expect(try Program.shell("swcat call \(socket) --framing u8 two", in: directory).text == "two\n")
    #expect(try service.end().status == 0)
    let tee = try Data(contentsOf: directory.url.appending(path: "tee"))
    #expect(Array(tee) == [3] + Array("one".utf8) + [3] + Array("one".utf8) + [9] + Array("half".utf8))
  }

  @Test func `a tee that cannot be written is 2, in one line`() throws {
    let run = try Program.shell("printf '1\\n2\\n' | swcat decode --framing lines --tee /dev/full")
    #expect(run.status == 2)
    #expect(run.complaints == "swcat: --tee /dev/full: No space left on device\n")
  }
}
