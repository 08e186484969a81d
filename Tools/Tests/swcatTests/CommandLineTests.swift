import Foundation
import Testing

/// Command lines with a mistake in them, and messages that look like one.
@Suite struct CommandLineTests {
  let directory: Directory
  var socket: String { "unix:\(directory.path)/s" }

  init() throws { directory = try Directory() }

  @Test func `no message is wanted`() throws {
    let service = try Service(socket, "--framing", "lines", "--exec", "echo y", in: directory)
    let run = try Program.shell(
      """
      printf 'a\\nb\\n' >$DIR/lines
      { swcat decode --framing lines --count 0; echo $?; cat; } <$DIR/lines
      swcat receive \(socket) --framing lines --count 0; echo $?
      swcat listen unix:$DIR/other --framing lines --count 0; echo $?
      swcat listen stdio: --framing lines --echo --count 0 <$DIR/lines; echo $?
      """, in: directory)
    #expect(run.text == "0\na\nb\n0\n0\n0\n")
    #expect(run.complaints.isEmpty)
    #expect(!FileManager.default.fileExists(atPath: "\(directory.path)/other"))
    _ = try service.end()
  }

  @Test(arguments: ["varint", "u32be", "content-length", "lines", "multiprocessing", "pickle", "msgpack"])
  func `messages may be empty, begin with a hyphen, and look like options`(_ framing: String) throws {
    let service = try Service(socket, "--framing", framing, "--echo", in: directory)
    let run = try Program.shell(
      """
      swcat call \(socket) --framing \(framing) -- '' -x --framing --; echo $?
      printf '%s\\n' '' -x -- | swcat connect \(socket) --framing \(framing); echo $?
      """, in: directory)
    #expect(run.text == "\n-x\n--framing\n--\n0\n\n-x\n--\n0\n")
    #expect(run.complaints.isEmpty)
    _ = try service.end()
  }

  @Test func `bytes that are no UTF-8 pass on lines, and are refused as arguments`() throws {
    let lines = try Program.shell(
      #"printf 'a\377b\n' | swcat encode --framing u8 | od -An -tx1; printf '"\377"\n' | swcat encode --framing u8 --input json"#
    )
    #expect(lines.text == " 03 61 ff 62\n" && lines.status == 3)
    #expect(lines.complaints.contains("input line 1, at offset 1: expected"), "\(lines.complaints)")
    let arguments = try Program.shell(#"swcat send unix:none --framing u8 "$(printf 'a\377b')""#)
    #expect(arguments.status == 1)
    #expect(arguments.complaints.hasPrefix("swcat: argument 5: expected UTF-8"), "\(arguments.complaints)")
  }

  @Test func `streams that are closed are 2, and an output that nobody can read is quiet`() throws {
    let service = try Service(socket, "--framing", "lines", "--exec", "cat", in: directory)
    for command in [
      "encode --framing lines", "decode --framing lines", "send \(socket) --framing lines",
      "connect \(socket) --framing lines", "exec --framing lines -- cat", "receive stdio: --framing lines",
      "listen stdio: --framing lines --echo", "relay stdio: \(socket) --from lines --to lines",
    ] {
      let run = try Program.shell("swcat \(command) <&- >$DIR/out", in: directory)
      #expect(run.status == 2, "\(command): \(run)")
      #expect(run.complaints.hasPrefix("swcat: ") && run.complaints.split(separator: "\n").count == 1)
    }
    for command in ["encode --framing lines", "decode --framing lines", "exec --framing lines -- cat"] {
      let run = try Program.shell("echo a | swcat \(command) >&-", in: directory)
      #expect(run.status == 0 && run.complaints.isEmpty, "\(command): \(run)")
    }
    _ = try service.end()
  }

  @Test func `sizes have units of 1024, short or long`() throws {
    let line = String(repeating: "x", count: 2000) + "\n"
    for (size, fits) in [
      ("2k", true), ("2K", true), ("2KiB", true), ("2kiB", true), ("1GiB", true), ("1k", false),
    ] {
      let run = try Program.shell("swcat encode --framing u16be --max-frame \(size)", input: Array(line.utf8))
      #expect(run.status == (fits ? 0 : 3), "\(size)")
    }
    for size in ["2kB", "iB", "2iB", "2 k", "-1", "+1", "k", "", "9999999999G", "1e3"] {
      let run = try Program.shell("swcat encode --framing u16be --max-frame '\(size)'")
      #expect(run.status == 1, "\(size)")
    }
  }

  @Test(arguments: [
    ("u64be", #"\000\000\000\001\000\000\000\000"#, 4_294_967_304),
    ("u64le", #"\000\000\000\000\001\000\000\000"#, 4_294_967_304),
    ("u64be", #"\177\377\377\377\377\377\377\377"#, 0),
    ("varint", #"\374\001\000\000\000\000"#, 0),
    ("protobuf", #"\200\200\200\200\020"#, 4_294_967_301),
    ("content-length", #"Content-Length: 4294967296\r\n\r\n"#, 0),
    ("multiprocessing", #"\377\377\377\377\000\000\000\001\000\000\000\000"#, 4_294_967_308),
    ("u32be", #"\377\377\377\377"#, 4_294_967_299),
  ])
  func `a header that declares four gibibytes takes no memory`(
    _ framing: String, _ header: String, _ size: Int
  ) throws {
    let refused = try Program.shell("printf '\(header)' | swcat decode --framing \(framing)")
    #expect(refused.status == 3)
    #expect(refused.complaints.contains("expected a frame of at most "), "\(refused)")
    if size > 0 {
      #expect(refused.complaints.contains("of at most 1073741824 bytes; found one of \(size)"), "\(refused)")
    }
    // The limit allows for it, and the bytes do not come. The address space has no room for it, either.
    if size > 0 {
      let allowed = try Program.shell(
        "printf '\(header)hello' | { ulimit -v 4000000; swcat decode --framing \(framing) --max-frame 5GiB; }"
      )
      #expect(allowed.status == 5, "\(allowed)")
    }
  }

  @Test func `a key is proved in both directions, or nothing is sent`() throws {
    let run = try Program.shell(
      """
      echo secret >$DIR/key
      swcat send fd:3 --framing pickle --authkey-file $DIR/key a 3>$DIR/sent; echo $?
      swcat receive fd:3 --framing pickle --authkey-file $DIR/key 3</dev/null; echo $?
      echo a | swcat send stdio: --framing pickle --authkey-file $DIR/key; echo $?
      cat $DIR/sent
      """, in: directory)
    #expect(run.text == "2\n2\n1\n")
    let lines = run.complaints.split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines.first == "swcat: fd:3: descriptor 3 is not open for reading", "\(run.complaints)")
  }

  @Test func `a descriptor's number is one that a process can have`() throws {
    let run = try Program.shell(
      "ulimit -n 1000; swcat exec --framing lines --fd 1000 -- true; echo $?; swcat exec --framing lines --fd 2 -- true; echo $?"
    )
    #expect(run.text == "1\n1\n")
    #expect(run.complaints.contains("expected a number from 3 to 999; found 1000"), "\(run.complaints)")
  }

  @Test(.enabled(if: has("python3")))
  func `a connection that is not made in time is 4, and says so`() throws {
    // Its queue is full: nobody accepts, and the kernel lets the next one wait.
    let run = try Program.shell(
      #"""
      python3 -c '
      import socket, sys, time
      listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(0)
      port = listener.getsockname()[1]
      clients = []
      for _ in range(4):
        client = socket.socket(); client.setblocking(False)
        try: client.connect(("127.0.0.1", port))
        except BlockingIOError: pass
        clients.append(client)
      import os, subprocess
      sys.exit(subprocess.run([os.environ["SWCAT"], "receive", f"tcp:127.0.0.1:{port}", "--framing", "lines", "--timeout", "0.5"]).returncode)
      '
      """#)
    #expect(run.status == 4)
    #expect(run.complaints.hasPrefix("swcat: cannot connect to tcp:127.0.0.1:"), "\(run.complaints)")
    #expect(run.complaints.hasSuffix(": timed out\n"), "\(run.complaints)")
  }

  @Test func `call prints what comes until its time to linger is over, which is no failure`() throws {
    // A FIFO that is open for writing here has no end.
    let run = try Program.shell(
      """
      mkfifo $DIR/f; exec 3<>$DIR/f
      for linger in 0 0.2; do
        printf 'one\\n' >&3
        swcat call fd:3,4 --framing lines --linger $linger hello 4>$DIR/sent; echo $?
      done
      """, in: directory)
    #expect(run.text == "one\n0\none\n0\n", "\(run)")
    #expect(run.complaints.isEmpty)
  }

  @Test func `a pipe carries no descriptors`() throws {
    let run = try Program.shell(
      "swcat send fd:3 --framing lines --pass /dev/null a 3>&1 | cat", in: directory)
    #expect(run.text.isEmpty)
    #expect(run.complaints.hasPrefix("swcat: ") && run.complaints.split(separator: "\n").count == 1)
  }
}
