import Foundation
import Testing

/// The commands against each other. A service with the framing `fixed:1` and a shell command sends any bytes at all.
@Suite struct ConnectionTests {
  let directory: Directory
  var socket: String { "unix:\(directory.path)/s" }

  init() throws { directory = try Directory() }

  private func swcat(_ arguments: String, input: String = "") throws -> Program.Run {
    try Program.shell("swcat \(arguments)", input: Array(input.utf8), in: directory)
  }

  // MARK: Each command

  @Test(arguments: [
    "varint", "multiprocessing", "pickle", "msgpack", "lines", "nul", "delimiter:0d0a", "u8", "u16be",
    "u16le", "u32be", "u32le", "u64be", "u64le", "content-length", "protobuf", "fixed:5",
  ])
  func `every framing is spoken by call and listen`(_ framing: String) throws {
    let service = try Service(socket, "--framing", framing, "--echo", in: directory)
    let run = try swcat("call \(socket) --framing \(framing) hello world")
    #expect(run.text == "hello\nworld\n")
    #expect(run.status == 0 && run.complaints.isEmpty)
    #expect(try service.end().status == 0)
  }

  @Test(arguments: ["unix:@swcat-\(UUID().uuidString)", "tcp:127.0.0.1:0", "tcp:[::1]:0"])
  func `every kind of address is reached`(_ address: String) throws {
    let service = try Service(address, "--framing", "lines", "--echo", in: directory)
    var place = address
    if address.hasPrefix("tcp:") {
      // The kernel has chosen the port.
      let words = try service.wordsSaid()
      place = try #require(words.first { $0.hasPrefix("tcp:") })
      #expect(place != address)
    }
    let run = try swcat("call '\(place)' --framing lines hello")
    #expect(run.text == "hello\n")
    #expect(try service.end().status == 0)
  }

  @Test func `what is sent is printed by listen`() throws {
    let service = try Service(socket, "--framing", "u16be", "--count", "5", in: directory)
    #expect(try swcat("send \(socket) --framing u16be one two").status == 0)
    let lines = try swcat("send \(socket) --framing u16be", input: "three\nfour\nfive")
    #expect(lines.status == 0 && lines.output.isEmpty && lines.complaints.isEmpty)
    let run = try service.wait()
    #expect(run.text == "one\ntwo\nthree\nfour\nfive\n")
    #expect(run.status == 0)
    #expect(!FileManager.default.fileExists(atPath: "\(directory.path)/s"))
  }

  @Test func `what a service sends is printed by receive, so many messages or all`() throws {
    let service = try Service(
      socket, "--framing", "lines", "--exec", "printf '1\\n2\\n3\\n'", in: directory)
    #expect(try swcat("receive \(socket) --framing lines").text == "1\n2\n3\n")
    let two = try swcat("receive \(socket) --framing lines --count 2 --output hex")
    #expect(two.text == "31\n32\n" && two.status == 0)
    let more = try swcat("receive \(socket) --framing lines --count 9")
    #expect(more.text == "1\n2\n3\n" && more.status == 0)
    _ = try service.end()
  }

  @Test func `a service's command gets what each client sends, and its answers go to that client`() throws {
    let service = try Service(socket, "--framing", "lines", "--exec", "tr a-z A-Z", in: directory)
    let run = try Program.shell(
      """
      for i in 1 2 3 4 5 6 7 8; do
        { printf "hello $i\\n%s\\n" world | swcat connect \(socket) --framing lines >$DIR/out-$i; echo $? >>$DIR/statuses; } &
      done
      wait; cat $DIR/out-*; sort -u $DIR/statuses
      """, in: directory)
    #expect(run.text == (1...8).map { "HELLO \($0)\nWORLD\n" }.joined() + "0\n")
    #expect(try service.end().status == 0)
  }

  @Test func `the end of the lines half-closes, and answers still come`() throws {
    // The service answers when it has seen the end.
    let service = try Service(socket, "--framing", "lines", "--exec", "sort", in: directory)
    let run = try swcat("connect \(socket) --framing lines", input: "b\nc\na")
    #expect(run.text == "a\nb\nc\n" && run.status == 0)
    _ = try service.end()
  }

  @Test func `one task after another, call waits for each reply`() throws {
    let service = try Service(
      socket, "--framing", "lines", "--exec", "while read x; do echo $((x+1)); done", in: directory)
    // The second question would be wrong if it went out before the first answer was there.
    let run = try swcat("call \(socket) --framing lines 1 2 3")
    #expect(run.text == "2\n3\n4\n" && run.status == 0)
    _ = try service.end()
  }

  @Test func `relay translates framings, both ways`() throws {
    let service = try Service(
      socket, "--framing", "u32be", "--exec",
      "swcat() { '\(try Program.path)' \"$@\"; }; swcat decode --framing u32be | tr a-z A-Z | swcat encode --framing u32be",
      in: directory)
    let run = try Program.shell(
      "printf 'one\\ntwo\\n' | swcat relay stdio: \(socket) --from lines --to u32be", in: directory)
    #expect(run.text == "ONE\nTWO\n")
    #expect(run.status == 0)
    _ = try service.end()
  }

  @Test func `relay translates values`() throws {
    let service = try Service(socket, "--framing", "msgpack", "--echo", in: directory)
    let line = #"{"id":7,"list":[1.5,null,true,"é"],"big":4294967296}"#
    let values = try swcat("encode --framing pickle --input json", input: line + "\n")
    let run = try Program.shell(
      "swcat relay stdio: \(socket) --from pickle --to msgpack | swcat decode --framing pickle --output json",
      input: values.output, in: directory)
    #expect(run.text == line + "\n")
    let json = try Program.shell(
      "swcat relay stdio: \(socket) --from lines --to msgpack", input: Array("\(line)\n".utf8), in: directory)
    #expect(json.text == line + "\n")
    _ = try service.end()
  }

  @Test func `a message that cannot be translated is 3, or is skipped`() throws {
    let service = try Service(socket, "--framing", "msgpack", "--echo", in: directory)
    let lines =
      #"{"t":"int","v":"1"}"# + "\n" + #"{"t":"set","v":[]}"# + "\n" + #"{"t":"int","v":"2"}"# + "\n"
    let values = try swcat("encode --framing pickle --input tagged", input: lines)
    let relay = "swcat relay stdio: \(socket) --from pickle --to msgpack"
    let decode = "swcat decode --framing pickle"
    let broken = try Program.shell(
      "{ \(relay); echo $? >&2; } | \(decode)", input: values.output, in: directory)
    #expect(broken.complaints.hasSuffix("\n3\n"))
    #expect(broken.complaints.contains("found type set"))
    let skipped = try Program.shell(
      "{ \(relay) --skip-undecodable; echo $? >&2; } | \(decode)", input: values.output, in: directory)
    #expect(skipped.text == "1\n2\n")
    #expect(skipped.complaints.hasSuffix("\n3\n"))
    _ = try service.end()
  }

  @Test func `descriptors that the shell has opened are addresses`() throws {
    let run = try Program.shell(
      """
      swcat send fd:3 --framing varint hello 3>$DIR/frames
      swcat receive fd:4 --framing varint 4<$DIR/frames
      swcat send stdio: --framing varint a b | swcat receive stdio: --framing varint --count 1
      printf 'hi\\n' | swcat listen fd:3,4 --framing lines --echo 3<&0 4>&1
      """, in: directory)
    #expect(run.text == "hello\na\nhi\n")
    #expect(run.complaints.isEmpty)
  }

  @Test(.enabled(if: has("python3")))
  func `a peer reads the file that is passed`() throws {
    try Data("from the file".utf8).write(to: directory.url.appending(path: "file"))
    let script = """
      import os, socket
      listener = socket.socket(socket.AF_UNIX)
      listener.bind(os.environ["DIR"] + "/python")
      listener.listen()
      print("listens", flush=True)
      peer, _ = listener.accept()
      message, passed, _, _ = socket.recv_fds(peer, 100, 4)
      peer.sendall(b"%d: %s\\n" % (len(passed), os.read(passed[0], 100)))
      """
    let run = try Program.shell(
      """
      mkfifo $DIR/ready
      python3 -c '\(script)' >$DIR/ready &
      read word <$DIR/ready
      swcat call unix:$DIR/python --framing lines --pass $DIR/file hello
      """, in: directory)
    #expect(run.text == "1: from the file\n" && run.status == 0, "\(run.complaints)")
  }

  @Test func `a descriptor goes along with the first message`() throws {
    let service = try Service(socket, "--framing", "lines", "--echo", in: directory)
    try Data("file".utf8).write(to: directory.url.appending(path: "file"))
    let run = try swcat("call \(socket) --framing lines --pass $DIR/file one two")
    #expect(run.text == "one\ntwo\n" && run.status == 0)
    let missing = try swcat("call \(socket) --framing lines --pass $DIR/none one")
    #expect(missing.status == 2 && missing.complaints.hasPrefix("swcat: --pass "))
    _ = try service.end()
  }

  @Test func `a tee has every frame, in both directions, in order`() throws {
    let service = try Service(socket, "--framing", "u32be", "--echo", in: directory)
    let run = try swcat(
      "call \(socket) --framing u32be --tee $DIR/tee one two; swcat decode --framing u32be <$DIR/tee")
    #expect(run.text == "one\ntwo\none\none\ntwo\ntwo\n")
    _ = try service.end()
    let decoded = try Program.shell(
      "printf '1\\n2\\n' | swcat encode --framing varint | swcat decode --framing varint --tee $DIR/all; od -An -tx1 $DIR/all",
      in: directory)
    #expect(decoded.text == "1\n2\n 01 31 01 32\n")
  }

  @Test func `verbose tells sizes, times and credentials`() throws {
    let service = try Service(socket, "--framing", "lines", "--echo", in: directory)
    let run = try swcat("call \(socket) --framing lines --verbose hello")
    #expect(run.text == "hello\n")
    let lines = run.complaints.split(separator: "\n")
    #expect(lines.allSatisfy { $0.wholeMatch(of: /swcat: \+\d+\.\d{6} s: .*/) != nil }, "\(run.complaints)")
    #expect(run.complaints.contains("of user \(getuid())"))
    #expect(run.complaints.contains("sent a message of 5 bytes"))
    #expect(run.complaints.contains("received a message of 5 bytes"))
    let said = try service.end().complaints
    #expect(said.contains("connection 1: accepted, process") && said.contains("connection 1: closed"))
  }

  @Test func `messages of a hundred mebibytes pass, and one more than the limit allows does not`() throws {
    let service = try Service(
      socket, "--framing", "u32be", "--echo", in: directory)
    let run = try Program.shell(
      """
      head -c 104857600 /dev/zero | tr '\\0' x >$DIR/large
      { cat $DIR/large; echo; } | swcat connect \(socket) --framing u32be | tr -d '\\n' | cmp - $DIR/large && echo same
      { cat $DIR/large; echo; } | swcat connect \(socket) --framing u32be --max-frame 100M; echo $?
      """, in: directory)
    #expect(run.text == "same\n3\n")
    #expect(run.complaints.contains("expected a frame of at most 104857600 bytes; found one of 104857604"))
    #expect(try service.end().status == 0)
  }

  // MARK: Failures

  @Test(arguments: [
    ("receive unix:$DIR/none --framing lines", "No such file"),
    ("send unix:$DIR/none --framing lines a", "unix:"),
    ("call unix:@no-such-name-\(UUID().uuidString) --framing lines a", "refused"),
    ("connect tcp:127.0.0.1:1 --framing lines", "tcp:127.0.0.1:1"),
    ("relay unix:$DIR/none stdio: --from lines --to nul", "No such file"),
    ("listen unix:$DIR/none/s --framing lines", "No such file"),
    ("listen unix:$DIR --framing lines", "unix:"),
    ("exec --framing lines -- /no/such/program", "/no/such/program"),
    ("receive fd:77 --framing lines", "descriptor 77 is not open"),
    ("send unix:$DIR/none --framing pickle --authkey-file $DIR/none x", "--authkey-file"),
    ("send unix:$DIR/none --framing lines --tee / x", "--tee /"),
    ("receive fd:1 --framing lines", "descriptor 1 is not open for reading"),
  ])
  func `a peer that is not there is 2, in one line`(_ arguments: String, _ text: String) throws {
    let run = try swcat("\(arguments) >$DIR/out")
    #expect(run.status == 2)
    #expect(run.complaints.hasPrefix("swcat: ") && run.complaints.contains(text), "\(run.complaints)")
    #expect(run.complaints.split(separator: "\n").count == 1)
  }

  @Test(arguments: [
    ("printf '\\\\377\\\\377\\\\377\\\\377'", "u32be", 3, "found one of 4294967299"),
    ("printf '\\\\000\\\\000\\\\000\\\\001a\\\\000\\\\000\\\\000\\\\004bc'", "u32be", 5, "at offset 11"),
    ("printf 'Content-Length: x\\\\r\\\\n\\\\r\\\\n'", "content-length", 3, "at offset"),
    ("yes | head -c 40", "content-length", 3, "at offset"),
    ("printf '\\\\000\\\\000\\\\000\\\\001a'", "pickle", 3, "message not understood"),
  ])
  func `rubbish is told by its place`(
    _ command: String, _ framing: String, _ status: Int, _ text: String
  ) throws {
    let service = try Service(
      socket, "--framing", "fixed:1", "--exec", command.replacing("\\\\", with: "\\"), in: directory)
    for client in ["receive \(socket)", "connect \(socket)"] {
      let run = try Program.shell(
        "mkfifo $DIR/f 2>$DIR/e; swcat \(client) --framing \(framing) <>$DIR/f", in: directory)
      #expect(Int(run.status) == status, "\(client)")
      #expect(run.complaints.hasPrefix("swcat: unix:") && run.complaints.contains(text), "\(run.complaints)")
      #expect(run.complaints.split(separator: "\n").count == 1)
    }
    _ = try service.end()
  }

  @Test func `a peer that stalls is 4, between messages and inside one`() throws {
    let silent = try Service(
      socket, "--framing", "fixed:1", "--exec", "cat >/dev/null", "--linger", "0", in: directory)
    for command in [
      "receive \(socket) --framing lines --timeout 0.2", "call \(socket) --framing lines --timeout 0.2 hello",
      "connect \(socket) --framing lines --timeout 0.2",
    ] {
      let run = try Program.shell(
        "mkfifo $DIR/f; swcat \(command) <>$DIR/f; echo $?; rm $DIR/f", in: directory)
      #expect(run.text == "4\n", "\(command)")
      #expect(run.complaints.contains("timed out") && run.complaints.split(separator: "\n").count == 1)
    }
    _ = try silent.end()
    let half = try Service(
      socket, "--framing", "fixed:1", "--exec", "printf 'a\\nbc'; cat >/dev/null", "--linger", "0",
      in: directory)
    let run = try swcat("receive \(socket) --framing lines --timeout 1")
    #expect(run.status == 4 && run.text == "a\n")
    #expect(run.complaints.contains("after 2 bytes of a frame"))
    _ = try half.end()
  }

  @Test func `a peer that takes nothing is 4`() throws {
    // It has the connection, and reads nothing.
    let service = try Service(
      socket, "--framing", "fixed:1", "--exec", "exec sleep 20", "--linger", "0", in: directory)
    let run = try Program.shell(
      "head -c 30000000 /dev/zero | tr '\\0' a | swcat send \(socket) --framing u32be --timeout 0.3",
      in: directory)
    #expect(run.status == 4)
    #expect(run.complaints.contains("takes no more"))
    _ = try service.end()
  }

  @Test func `a peer that ends before it has replied is 2`() throws {
    let service = try Service(socket, "--framing", "lines", "--exec", "read x; echo $x", in: directory)
    let run = try swcat("call \(socket) --framing lines one two")
    #expect(run.text == "one\n")
    #expect(run.status == 2)
    #expect(
      run.complaints.contains("message 2") || run.complaints.contains("EPIPE")
        || run.complaints.contains("ECONNRESET"))
    _ = try service.end()
  }

  @Test func `one bad client ends its own connection`() throws {
    let service = try Service(socket, "--framing", "u32be", "--echo", in: directory)
    #expect(try swcat("send \(socket) --framing lines abcdefgh").status != 1)
    #expect(service.waits(forSaying: "broke the framing"))
    let run = try swcat("call \(socket) --framing u32be hello")
    #expect(run.text == "hello\n")
    let said = try service.end()
    #expect(said.status == 0)
    #expect(said.complaints.contains("connection 1: the stream broke the framing, at offset 0"))
  }

  @Test(.enabled(if: has("python3")))
  func `silent clients take no service with a command from others`() throws {
    // Each connection has a process. Those of all clients at once would need more descriptors than there are.
    let service = try Service(
      "/bin/sh",
      [
        "-c", "ulimit -n 128; exec \"$0\" listen --verbose '\(socket)' --framing lines --exec cat",
        try Program.path,
      ], in: directory)
    let script = """
      import os, socket
      clients = [socket.socket(socket.AF_UNIX) for _ in range(200)]
      for client in clients: client.connect(os.environ["DIR"] + "/s")
      for client in clients[:10]: client.sendall(b"hello\\n")
      print([client.recv(6) for client in clients[:10]] == [b"hello\\n"] * 10)
      """
    let run = try Program.shell(
      "python3 -c '\(script)'; swcat call \(socket) --framing lines question", in: directory)
    #expect(run.text == "True\nquestion\n", "\(run)")
    let ended = try service.end()
    #expect(ended.status == 0, "\(ended)")
  }

  @Test func `a name that is served is not taken`() throws {
    let service = try Service(socket, "--framing", "lines", in: directory)
    let run = try swcat("listen \(socket) --framing lines")
    #expect(run.status == 2 && run.complaints.contains("EADDRINUSE"))
    #expect(try service.end().status == 0)
  }

  @Test func `a message that cannot be sent is 3, and those before it have been sent`() throws {
    let service = try Service(socket, "--framing", "lines", in: directory)
    let run = try swcat("send \(socket) --framing lines 'good' 'bad\\nline' never")
    #expect(run.status == 3)
    #expect(run.complaints.contains("message 2: the message cannot be sent"), "\(run.complaints)")
    let hex = try swcat("send \(socket) --framing lines --input hex 61 6z")
    #expect(hex.status == 3 && hex.complaints.contains("message 2, at offset 0"))
    let lines = try swcat("send \(socket) --framing lines --input hex", input: "61\n6z\n")
    #expect(lines.status == 3 && lines.complaints.contains("input line 2, at offset 3"))
    let heard = try service.end()
    #expect(heard.text == "good\na\n")
  }
}

extension Service {
  /// Its output so far, word by word.
  func wordsSaid() throws -> [String] {
    _ = waits(forSaying: "\n")
    return sayings.split(whereSeparator: \.isWhitespace).map(String.init)
  }
}
