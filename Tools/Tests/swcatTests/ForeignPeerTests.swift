import Foundation
import Testing

/// Programs that know nothing of swcat.
@Suite struct ForeignPeerTests {
  let directory: Directory
  var path: String { "\(directory.path)/s" }
  var socket: String { "unix:\(path)" }

  init() throws {
    directory = try Directory()
    try Data("secret\n".utf8).write(to: directory.url.appending(path: "key"))
  }

  /// Starts a Python program, which says "ready" on standard error.
  private func start(_ python: String, _ script: String) throws -> Service {
    let file = directory.url.appending(path: "\(UUID().uuidString).py")
    try Data(script.utf8).write(to: file)
    return try Service(python, [file.path], in: directory, ready: "ready")
  }

  private func run(_ python: String, _ script: String) throws -> Program.Run {
    let file = directory.url.appending(path: "\(UUID().uuidString).py")
    try Data(script.utf8).write(to: file)
    return try Program.shell("\"$PYTHON\" \(file.path)", in: directory, environment: ["PYTHON": python])
  }

  // MARK: Python's multiprocessing

  private func listener(_ address: String, key: String?) -> String {
    """
    import sys
    from multiprocessing.connection import Listener
    class User:
      def __init__(self): self.name = "x"
    listener = Listener(\(address), authkey=\(key ?? "None"))
    print("ready", listener.address, file=sys.stderr, flush=True)
    while True:
      try: connection = listener.accept()
      except Exception as error:
        print(type(error).__name__, file=sys.stderr, flush=True); continue
      try:
        while True:
          value = connection.recv()
          if value == "stop": sys.exit(0)
          connection.send(User() if value == "object" else {"got": value})
      except EOFError: connection.close()
    """
  }

  static let pythons: [String] = [python].compactMap { $0 } + ["python3.11", "python3.8"].filter(runs)

  private static func runs(_ python: String) -> Bool {
    has(python) && ((try? Program.shell("\(python) -c ''").status == 0) ?? false)
  }

  @Test(arguments: pythons)
  func `Python's Listener with a key`(_ python: String) throws {
    let name = python.hasPrefix("/") ? python : try Program.shell("command -v \(python)").text.trimmed
    let service = try start(name, listener("\"\(path)\"", key: "b'secret'"))
    let call = "swcat call \(socket) --framing pickle --input json"
    let good = try Program.shell(#"\#(call) --authkey-file $DIR/key '[1,"a"]' 7"#, in: directory)
    #expect(good.text == #"{"got":[1,"a"]}"# + "\n" + #"{"got":7}"# + "\n")
    #expect(good.complaints.isEmpty)
    // An object of an unknown class goes back as it came.
    let object = try Program.shell(
      """
      swcat call \(socket) --framing pickle --authkey-file $DIR/key --output tagged object >$DIR/object
      cat $DIR/object
      swcat call \(socket) --framing pickle --authkey-file $DIR/key --input tagged --output tagged "$(cat $DIR/object)"
      """, in: directory)
    #expect(object.text.contains(#""name":"__main__.User""#), "\(object)")
    #expect(object.text.split(separator: "\n").count == 2)
    let wrong = try Program.shell(
      "echo wrong >$DIR/wrong; \(call) --authkey-file $DIR/wrong 1", in: directory)
    #expect(wrong.status == 2 && wrong.complaints.contains("key"), "\(wrong)")
    let none = try Program.shell("\(call) --timeout 5 1", in: directory)
    // The challenge is no pickle.
    #expect(none.status == 3, "\(none)")
    #expect(
      try Program.shell("swcat send \(socket) --framing pickle --authkey-file $DIR/key stop", in: directory)
        .status == 0)
    #expect(try service.wait().status == 0)
  }

  @Test(arguments: pythons)
  func `Python's Client with a key`(_ python: String) throws {
    let name = python.hasPrefix("/") ? python : try Program.shell("command -v \(python)").text.trimmed
    let service = try Service(
      socket, "--framing", "pickle", "--echo", "--authkey-file", "\(directory.path)/key", in: directory)
    let client = try run(
      name,
      """
      from multiprocessing import AuthenticationError
      from multiprocessing.connection import Client
      import datetime
      for value in [1, "é", {"a": (1, 2)}, datetime.datetime(2024, 2, 29), {1, 2}, b"x" * 100000]:
        with Client("\(path)", authkey=b"secret") as connection:
          connection.send(value)
          assert connection.recv() == value
      try: Client("\(path)", authkey=b"wrong"); assert False
      except (AuthenticationError, EOFError, ConnectionError): pass
      print("fine")
      """)
    #expect(client.text == "fine\n", "\(client)")
    let said = try service.end()
    #expect(said.status == 0 && said.complaints.contains("authentication failed"))
  }

  @Test(.enabled(if: python != nil))
  func `a silent listener is 4`() throws {
    let service = try start(try #require(python), listener("\"\(path)\"", key: nil))
    let run = try Program.shell(
      "swcat call \(socket) --framing pickle --authkey-file $DIR/key --timeout 0.3 1", in: directory)
    #expect(run.status == 4 && run.complaints.contains("a listener without a key sends none"))
    _ = try service.end(SIGKILL)
  }

  @Test(.enabled(if: python != nil))
  func `relay between Python's multiprocessing and a peer of msgpack, both ways`() throws {
    let python = try #require(python)
    let jobs = try start(python, listener("\"\(path)\"", key: "b'secret'"))
    let peer = try start(
      python,
      """
      import msgpack, socket, sys
      listener = socket.socket(socket.AF_UNIX); listener.bind("\(path)2"); listener.listen()
      print("ready", file=sys.stderr, flush=True)
      connection, _ = listener.accept()
      unpacker = msgpack.Unpacker(raw=False)
      for question in [1, "é", [1.5, None, True], {"k": {"n": [b"\\x00\\xff"]}}, 2**40]:
        connection.sendall(msgpack.packb(question))
        while True:
          answer = next(unpacker, None)
          if answer is not None: break
          data = connection.recv(65536)
          if not data: sys.exit(3)
          unpacker.feed(data)
        assert answer == {"got": question}, answer
      connection.shutdown(socket.SHUT_WR)
      assert connection.recv(1) == b""
      print("fine")
      """)
    let run = try Program.shell(
      "swcat relay \(socket) unix:\(path)2 --from pickle --to msgpack --authkey-file $DIR/key", in: directory)
    #expect(run.status == 0 && run.complaints.isEmpty, "\(run)")
    #expect(try peer.wait().text == "fine\n")
    _ = try jobs.end(SIGKILL)
  }

  // MARK: Others

  @Test(.enabled(if: python != nil))
  func `Python's socketwrapper`() throws {
    let service = try Service(socket, "--framing", "varint", "--echo", in: directory)
    let client = try run(
      try #require(python),
      """
      import socket
      from socketwrapper import MessageDuplex
      raw = socket.socket(socket.AF_UNIX); raw.connect("\(path)")
      peer = MessageDuplex(raw)
      for message in [b"", b"x", b"y" * 100000]:
        peer.send(message)
        assert bytes(peer.recv()) == message
      print("fine")
      """)
    #expect(client.text == "fine\n", "\(client)")
    _ = try service.end()
  }

  @Test(.enabled(if: python != nil))
  func `a connection that is reset is 2`() throws {
    let service = try start(
      try #require(python),
      """
      import socket, struct, sys
      listener = socket.create_server(("127.0.0.1", 0))
      print("ready", listener.getsockname()[1], file=sys.stderr, flush=True)
      while True:
        connection, _ = listener.accept()
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
      """)
    let port = try #require(service.wordsSaid().last)
    for command in ["call", "connect"] {
      let run = try Program.shell(
        "mkfifo $DIR/\(command); echo a >$DIR/\(command) & swcat \(command) tcp:127.0.0.1:\(port) --framing lines \(command == "call" ? "a" : "") 0<>$DIR/\(command)",
        in: directory)
      #expect(run.status == 2 && run.complaints.contains("ECONNRESET"), "\(run)")
      #expect(run.complaints.split(separator: "\n").count == 1)
    }
    _ = try service.end(SIGKILL)
  }

  @Test(.enabled(if: has("socat")))
  func `socat, as a server and as a client`() throws {
    let service = try Service(socket, "--framing", "lines", "--exec", "tr a-z A-Z", in: directory)
    let client = try Program.shell(
      "printf 'hello\\nworld\\n' | socat -t 60 - UNIX-CONNECT:\(path)", in: directory)
    #expect(client.text == "HELLO\nWORLD\n")
    _ = try service.end()
    let server = try Service(
      "/usr/bin/env", ["socat", "-d", "-d", "-d", "UNIX-LISTEN:\(path)", "SYSTEM:cat"], in: directory,
      ready: "listening on")
    let call = try Program.shell("swcat call \(socket) --framing u16be hello", in: directory)
    #expect(call.text == "hello\n" && call.status == 0)
    _ = try server.wait()
  }

  @Test(.enabled(if: has("ncat")))
  func `ncat, as a client and as a server`() throws {
    let service = try Service(socket, "--framing", "lines", "--exec", "tr a-z A-Z", in: directory)
    let client = try Program.shell("printf 'hello\\nworld\\n' | ncat -U \(path)", in: directory)
    #expect(client.text == "HELLO\nWORLD\n")
    _ = try service.end()
    let server = try Service(
      "/usr/bin/env", ["ncat", "-v", "-l", "-U", path, "-c", "cat"], in: directory, ready: "Listening on")
    let call = try Program.shell("swcat call \(socket) --framing u16be hello", in: directory)
    #expect(call.text == "hello\n" && call.status == 0)
    _ = try server.wait()
  }

  @Test(.enabled(if: has("node")))
  func `Node's channel to its children, and lines of JSON`() throws {
    let run = try Program.shell(
      """
      swcat exec --framing lines --input json --output json -- node -e '
        require("readline").createInterface({ input: process.stdin }).on("line", line => {
          const { id } = JSON.parse(line); console.log(JSON.stringify({ id, pid: 1 })) })' <<'E'
      {"id": 1}
      {"id": 2}
      E
      """)
    #expect(run.text == #"{"id":1,"pid":1}"# + "\n" + #"{"id":2,"pid":1}"# + "\n")
    #expect(run.status == 0)
    // Node as the parent: its child is swcat, and the channel is a descriptor.
    let parent = try Program.shell(
      """
      node -e '
        const child = require("child_process").spawn(process.env.SWCAT, ["listen", "fd:3,3", "--framing", "lines", "--echo"],
          { stdio: ["inherit", "inherit", "inherit", "pipe"] });
        child.stdio[3].setEncoding("utf8").on("data", text => { console.log(text.trim()); child.stdio[3].end() });
        child.stdio[3].write(JSON.stringify({ hello: "world" }) + "\\n");
        child.on("exit", code => console.log(code))'
      """)
    #expect(parent.text == #"{"hello":"world"}"# + "\n0\n", "\(parent)")
  }

  @Test(.enabled(if: has("clangd")), .timeLimit(.minutes(2)))
  func `a language server's conversation`() throws {
    let run = try Program.shell(
      """
      swcat exec --framing content-length --input json --output json -- clangd --log=error <<'E'
      {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
      {"jsonrpc":"2.0","method":"initialized","params":{}}
      {"jsonrpc":"2.0","id":2,"method":"shutdown"}
      {"jsonrpc":"2.0","method":"exit"}
      E
      """)
    let lines = run.text.split(separator: "\n")
    #expect(lines.contains { $0.contains(#""id":1"#) && $0.contains("capabilities") }, "\(run)")
    #expect(lines.contains { $0.contains(#""id":2"#) && $0.contains(#""result":null"#) })
    #expect(run.status == 0)
  }
}

extension String {
  var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
