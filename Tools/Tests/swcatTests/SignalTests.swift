import Foundation
import Testing

@Suite struct SignalTests {
  let directory: Directory
  var socket: String { "unix:\(directory.path)/s" }

  init() throws { directory = try Directory() }

  @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
  func `a service that is told to end answers what it was asked, and removes its name`(_ signal: Int32) throws
  {
    let service = try Service(socket, "--framing", "lines", "--echo", in: directory)
    let client = try Conversation("connect", socket, "--framing", "lines")
    try client.write(Array("one\n".utf8))
    #expect(try client.read(4) == Array("one\n".utf8))
    let run = try service.end(signal)
    #expect(run.status == 0)
    #expect(!FileManager.default.fileExists(atPath: "\(directory.path)/s"))
    #expect(try client.wait().status == 0)
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func `receive and connect end with 0, and everything that came has been printed`(_ signal: Int32) throws {
    let service = try Service(socket, "--framing", "lines", "--exec", "echo one; cat", in: directory)
    for command in ["receive", "connect"] {
      let client = try Conversation(command, socket, "--framing", "lines")
      #expect(try client.read(4) == Array("one\n".utf8))
      client.signal(signal)
      let run = try client.wait()
      #expect(run.status == 0, "\(command)")
      #expect(run.complaints.isEmpty)
    }
    let ended = try service.end()
    #expect(ended.status == 0, "\(ended)")
  }

  @Test func `what was still to do makes it 130 or 143`() throws {
    let service = try Service(
      socket, "--framing", "lines", "--exec", "echo one; cat >/dev/null", in: directory)
    let counting = try Conversation("receive", socket, "--framing", "lines", "--count", "2")
    #expect(try counting.read(4) == Array("one\n".utf8))
    counting.signal(SIGTERM)
    let counted = try counting.wait()
    #expect(counted.status == 143)
    #expect(counted.complaints == "swcat: ended by SIGTERM before everything was handled\n")
    let calling = try Conversation("call", socket, "--framing", "lines", "a", "b")
    #expect(try calling.read(4) == Array("one\n".utf8))
    calling.signal(SIGINT)
    #expect(try calling.wait().status == 130)
    let ended = try service.end()
    #expect(ended.status == 0, "\(ended)")
  }

  @Test(arguments: ["encode", "decode"])
  func `a stream that is cut by a signal ends behind a whole message`(_ command: String) throws {
    let conversation = try Conversation(command, "--framing", "lines")
    try conversation.write(Array("one\ntw".utf8))
    #expect(try conversation.read(4) == Array("one\n".utf8))
    conversation.signal(SIGTERM)
    try conversation.finishWriting()
    let run = try conversation.wait()
    // The rest of the begun line may come before the signal has ended the input.
    #expect(run.text == "" || run.text == "tw\n")
    #expect([0, 5].contains(run.status), "\(run)")
  }

  @Test func `a child gets its time, and is not left behind`() throws {
    let conversation = try Conversation(
      "exec", "--framing", "lines", "--", "sh", "-c",
      "echo $$; trap '' TERM HUP INT; cat >/dev/null; echo bye")
    var line: [UInt8] = []
    while line.last != 0x0a { line += try conversation.read(1) }
    let child = try #require(Int32(String(decoding: line.dropLast(), as: UTF8.self)))
    conversation.signal(SIGTERM)
    let run = try conversation.wait()
    #expect(run.text == "bye\n")
    #expect(run.status == 0)
    #expect(kill(child, 0) != 0)
  }

  @Test(arguments: [("INT", 0), ("HUP", 0), ("USR1", 2)] as [(String, Int32)])
  func `at a terminal a child that the user has interrupted is no failure`(_ signal: String, _ status: Int32)
    throws
  {
    let run = try Program.shell(
      """
      exec script -qec '"$SWCAT" exec --framing lines -- sh -c "kill -\(signal) \\$\\$; sleep 100"' /dev/null
      """)
    #expect(run.status == status, "\(run.text)")
  }

  @Test func `without a terminal the same child has failed`() throws {
    let run = try Program.shell("exec \"$SWCAT\" exec --framing lines -- sh -c 'kill -INT $$; sleep 100'")
    #expect(run.status == 2)
  }

  @Test(arguments: ["pass", "authkey-file"])
  func `a signal ends it although a file cannot be opened`(_ option: String) throws {
    let service = try Service(
      socket, "--framing", "multiprocessing", "--exec", "cat >/dev/null", in: directory)
    // To open a FIFO that no process writes to waits for one.
    let run = try Program.shell(
      """
      mkfifo $DIR/f
      "$SWCAT" call \(socket) --framing multiprocessing --\(option) $DIR/f a & p=$!
      # The call waits at the FIFO when its threads do.
      until grep -q wait_for_partner /proc/$p/task/*/wchan; do kill -0 $p || exit 99; done
      kill $p; wait $p; echo $?
      """, in: directory)
    #expect(run.text == "143\n", "\(run)")
    #expect(run.complaints == "swcat: ended by SIGTERM before everything was handled\n")
    _ = try service.end()
  }

  @Test(arguments: ["", "--verbose"])
  func `a service goes on and ends although nobody reads its standard error`(_ option: String) throws {
    let run = try Program.shell(
      """
      mkfifo $DIR/e; exec 3<>$DIR/e
      # Fills the pipe.
      dd if=/dev/zero of=$DIR/e oflag=nonblock bs=4096 count=1000 2>$DIR/dd
      "$SWCAT" listen \(socket) --framing lines --echo \(option) 2>&3 & p=$!
      until [ -S $DIR/s ]; do kill -0 $p || exit 99; done
      for n in 1 2 3 4; do swcat call \(socket) --framing lines $n; done
      kill $p; wait $p; echo $?
      """, in: directory)
    #expect(run.text == "1\n2\n3\n4\n0\n", "\(run)")
  }

  @Test func `a signal while the key is proved is told as such`() throws {
    // This listener has no key, so it sends no challenge.
    let service = try Service(socket, "--framing", "lines", "--exec", "cat >/dev/null", in: directory)
    try Data("secret".utf8).write(to: directory.url.appending(path: "key"))
    let call = try Conversation(
      "call", socket, "--framing", "pickle", "--authkey-file", "\(directory.path)/key", "a")
    #expect(service.waits(forSaying: "accepted"))
    call.signal(SIGTERM)
    let run = try call.wait()
    #expect(run.status == 143)
    #expect(run.complaints == "swcat: ended by SIGTERM before everything was handled\n")
    _ = try service.end()
  }

  @Test func `a second signal ends it at once`() throws {
    // The child does not end, and swallows signals: the first one would have to wait for it.
    let conversation = try Conversation(
      "exec", "--framing", "lines", "--", "sh", "-c", "trap '' TERM INT; echo $$; exec sleep 600 2>&-")
    var line: [UInt8] = []
    while line.last != 0x0a { line += try conversation.read(1) }
    let child = try #require(Int32(String(decoding: line.dropLast(), as: UTF8.self)))
    defer { kill(child, SIGKILL) }
    conversation.signal(SIGTERM)
    // A blocked signal is one signal, however often it is sent: another is one more for certain.
    conversation.signal(SIGINT)
    let run = try conversation.wait()
    #expect([-SIGTERM, -SIGINT].contains(run.status))
  }

  @Test func `a signal that was ignored stays ignored`() throws {
    let run = try Program.shell(
      """
      trap '' INT; echo a | { swcat exec --framing lines -- cat & p=$!; kill -INT $p; wait $p; echo $?; }
      """)
    #expect(run.text.hasSuffix("0\n"))
  }

  @Test func `clients that are killed at any moment break nothing but their own connection`() throws {
    let service = try Service(socket, "--framing", "u32be", "--echo", in: directory)
    var random = Seeded(state: 14)
    for _ in 0..<12 {
      let client = try Conversation("connect", socket, "--framing", "u32be")
      let writer = client.writingEnd
      let block = Data(Array(String(repeating: "hello, world\n", count: 5000).utf8))
      let thread = Thread { while (try? writer.write(contentsOf: block)) != nil {} }
      signal(SIGPIPE, SIG_IGN)
      thread.start()
      _ = try client.read(13 * Int.random(in: 0...20_000, using: &random))
      client.signal(SIGKILL)
      let killed = try client.wait()
      #expect(killed.status == -SIGKILL, "\(killed)")
    }
    let last = try Program.shell("swcat call \(socket) --framing u32be hello", in: directory)
    #expect(last.text == "hello\n")
    let ended = try service.end()
    #expect(ended.status == 0, "\(ended)")
  }

  @Test func `a service that is killed is told as such, and its name can be taken again`() throws {
    let service = try Service(socket, "--framing", "u32be", "--echo", in: directory)
    let client = try Conversation("connect", socket, "--framing", "u32be")
    try client.write(Array("one\n".utf8))
    #expect(try client.read(4) == Array("one\n".utf8))
    _ = try service.end(SIGKILL)
    let run = try client.wait()
    #expect(run.status == 0 || run.status == 2)
    let next = try Service(socket, "--framing", "u32be", "--echo", in: directory)
    #expect(try Program.shell("swcat call \(socket) --framing u32be two", in: directory).text == "two\n")
    #expect(try next.end().status == 0)
  }

  @Test(arguments: ["receive", "connect"])
  func `a closed standard output ends it quietly`(_ command: String) throws {
    // The program of the connection, which never ends by itself, is left no time at the end.
    let service = try Service(socket, "--framing", "lines", "--linger", "0", "--exec", "yes", in: directory)
    let run = try Program.shell(
      "mkfifo $DIR/f 2>$DIR/e; { { swcat \(command) \(socket) --framing lines <>$DIR/f; echo $? >&3; } | head -n 1; } 3>&1 1>&2",
      in: directory)
    #expect(run.text == "0\n")
    #expect(run.complaints == "y\n")
    _ = try service.end()
  }
}
