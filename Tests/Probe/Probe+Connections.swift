import CSysShim
import Foundation
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage

extension Probe {
  /// Listens at each path that a line of standard input names, until the next line comes. Answers each with `won` and the
  /// number of clients to come, or with why not.
  static func publish() throws {
    var listener: Listener<SocketDuplex>?
    while let line = readLine() {
      listener?.close()
      listener = nil
      do throws(EndpointError) {
        let made = try Listener(.unix(FilePath(line)))
        listener = made
        print("won")
      } catch {
        guard case .transport(let failure) = error.reason else { fatalError("\(error)") }
        print("lost \(failure.operation) \(failure.errno.rawValue)")
      }
      fflush(nil)
    }
    listener?.close()
  }

  /// Listens again and again, with every umask and every permission, while a thread looks at what is in the directory.
  /// Prints the modes that were seen of each name, and of files that a third thread makes meanwhile.
  static func modes() throws {
    let directory = FilePath(NSTemporaryDirectory()).appending("sw-modes-\(getpid())")
    unsafe mkdir(directory.string, 0o700)
    defer { try? FileManager.default.removeItem(atPath: directory.string) }
    for (mask, wanted) in [(0o022, 0o600), (0, 0o600), (0o077, 0o666), (0o777, 0o660)] as [(mode_t, UInt32)] {
      umask(mask)
      let isOver = Atomic(false)
      let state = Guarded<(sockets: Set<UInt32>, files: Set<UInt32>)>(([], []))
      let watcher = TestThread { () throws in
        while !isOver.load(ordering: .acquiring) {
          var status = stat()
          if unsafe lstat(directory.appending("s").string, &status) == 0 {
            let mode = status.st_mode & 0o777
            state.withLock { _ = $0.sockets.insert(mode) }
          }
        }
      }
      let maker = TestThread { () throws in
        let path = directory.appending("file").string
        while !isOver.load(ordering: .acquiring) {
          let number = unsafe open(path, O_CREAT | O_WRONLY, 0o666)
          guard number >= 0 else { continue }
          var status = stat()
          _ = unsafe fstat(number, &status)
          close(number)
          unsafe unlink(path)
          let mode = status.st_mode & 0o777
          state.withLock { _ = $0.files.insert(mode) }
        }
      }
      for _ in 0..<1_000 {
        try Listener(.unix(directory.appending("s")), file: .mode(wanted)).close()
      }
      // Both threads have seen something.
      let last = try Listener(.unix(directory.appending("s")), file: .mode(wanted))
      let limit = Deadline.after(.patience)
      while state.withLock({ $0.sockets.isEmpty || $0.files.isEmpty }), !limit.hasPassed { sched_yield() }
      isOver.store(true, ordering: .releasing)
      try watcher.join()
      try maker.join()
      last.close()
      let (sockets, files) = state.withLock { ($0.sockets, $0.files) }
      let isRight = sockets == [wanted] && files == [UInt32(0o666 & ~mask)]
      print("right=\(isRight) mask=\(mask) wanted=\(wanted) sockets=\(sockets) files=\(files)")
    }
  }

  /// Accepts connections at the limit of descriptors. A line of standard input says how many clients wait; for each that
  /// is accepted and closed the next can be.
  static func acceptLimit() throws {
    let listener = try Listener(.abstract("sw-probe-\(getpid())"), framing: .varInt)
    print(listener.address)
    fflush(nil)
    guard let line = readLine(), let clients = Int(line) else { exit(2) }
    var limit = rlimit(rlim_cur: 64, rlim_max: 64)
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    var held: [MessageDuplex<VarIntFraming>] = []
    // As many as there is room for.
    while let peer = try? listener.blocking.accept(timeout: .zero) { held.append(peer) }
    print("held=\(held.count)")
    let before = cpuTime()
    let waitsBefore = waitCount()
    let start = Deadline.now
    let error = blockingError { () throws(EndpointError) in try listener.blocking.accept(timeout: .seconds(2))
    }
    print("timedOut=\(error?.reason == .timedOut)")
    let share = Double(cpuTime() - before) / Double(Deadline.now.nanoseconds - start.nanoseconds)
    // Without a descriptor to be woken by, a thread waits in slices of 10 ms: 200 in two seconds. A loop without pauses
    // waits far more often, or takes a whole processor.
    print("spins=\(share > 0.1 || waitCount() - waitsBefore > 1_000)")
    // A thread accepts; each close lets it go on.
    let count = clients - held.count
    let accepting = TestThread { () throws in
      for _ in 0..<count {
        let peer = try listener.blocking.accept()
        try peer.blocking.send("served")
        peer.close()
      }
    }
    while listener.core.half.inspect({ $0.queue.count == 0 || !$0.isHeadPaused }) { sched_yield() }
    for peer in held {
      try peer.blocking.send("served")
      peer.close()
    }
    try accepting.join()
    print("served=\(clients)")
    listener.close()
  }

  /// Serves with the limit that it has by default, in a process that may have 64 descriptors. A line of standard input asks
  /// how many connections are served, and whether more are accepted; the end of input ends it.
  static func serveLimit() async throws {
    let listener = try Listener(.abstract("sw-limit-\(getpid())"), framing: .varInt)
    print(listener.address)
    fflush(nil)
    var limit = rlimit(rlim_cur: 64, rlim_max: 64)
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    let asking = TestThread {
      while readLine() != nil {
        let snapshot = listener.snapshot
        print("served=\(snapshot.connections.count) accepting=\(snapshot.waitingAcceptors)")
        fflush(nil)
      }
      listener.finish()
    }
    try await listener.serve { peer in
      for try await message in peer.messages { try await peer.send(message) }
    }
    try await asking.value
  }

  private static func blockingError<T>(_ body: () throws(EndpointError) -> T) -> EndpointError? {
    do throws(EndpointError) {
      _ = try body()
      return nil
    } catch {
      return error
    }
  }

  static func cpuTime() -> UInt64 {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Serves the socket of that name which a service manager has passed: echoes one message of each client, until one
  /// says `stop`. Prints what it has been given.
  static func activated(_ name: String) throws {
    do throws(EndpointError) {
      guard let listener = try Listener.inherited(named: name, framing: .varInt) else {
        print("none=true")
        return
      }
      print("address=\(listener.address)")
      let again = blockingError { () throws(EndpointError) in
        try Listener.inherited(named: name, framing: .varInt)
      }
      print("again=\(again?.reason == .busy)")
      print("inherited=\(swsys_get_close_on_exec(3) != 1)")
      let child = try Command(
        "/bin/sh", arguments: ["-c", "ls /proc/self/fd; env"]
      ).blocking.run()
      // 3 is the directory that `ls` reads.
      let lines = child.outputText.split(separator: "\n")
      print("leaked=\(child.outputText.contains("LISTEN_") || lines.contains("4"))")
      fflush(nil)
      while true {
        let peer = try listener.blocking.accept()
        let message = try peer.blocking.receive()
        try peer.blocking.send(message)
        if message == Array("stop".utf8) { break }
      }
      listener.close()
      print("stopped=true")
    } catch {
      guard case .transport(let failure) = error.reason else { fatalError("\(error)") }
      print("error=\(failure.operation) \(failure.errno.rawValue) \(error)")
      print("open=\(swsys_get_close_on_exec(3) >= 0)")
    }
  }

  /// Starts itself anew with two listening sockets, as a service manager passes them: `a`, a stream, and `b`, of the kind
  /// that is told.
  static func passSockets(_ second: ConnectionKind, then action: String) throws {
    for (number, kind) in [(3, .stream), (4, second)] as [(Int32, ConnectionKind)] {
      let socket = try OwnedDescriptor.socket(for: .unnamedUnix, kind, .bind)
      // The kernel chooses a name.
      guard socket.bind(to: .unnamedUnix) == 0 else { exit(3) }
      let from = socket.release().rawValue
      guard swsys_listen(from, 8) == 0, swsys_set_nonblocking(from, false) == 0 else { exit(3) }
      if from == number { _ = swsys_set_close_on_exec(number, false) } else { dup2(from, number) }
    }
    for (name, value) in [("LISTEN_PID", "\(getpid())"), ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "a:b")] {
      unsafe setenv(name, value, 1)
    }
    let words: [String] = ["probe", "take-sockets", action]
    var arguments = unsafe words.map { word in unsafe strdup(word) } + [nil]
    _ = unsafe execv("/proc/self/exe", &arguments)
    exit(4)
  }

  /// Takes over all sockets that have been passed, after `b` alone if that is asked for. Prints what became of it.
  static func takeSockets(_ action: String) throws {
    let raw = action == "b-first" ? try Listener.inherited(named: "b") : nil
    if let raw {
      let client = try Connector(to: raw.address).blocking.connect()
      let peer = try raw.blocking.accept()
      try client.blocking.send([1, 2])
      print("raw=\(try peer.blocking.receive())")
    }
    do throws(EndpointError) {
      let all = try Listener.allInherited(framing: .varInt)
      for (name, listener) in all {
        let client = try Connector(to: listener.address).blocking.connect(framing: .varInt)
        let peer = try listener.blocking.accept()
        try client.blocking.send("hello")
        print("\(name)=\(String(decoding: try peer.blocking.receive(), as: UTF8.self))")
      }
      let again = blockingError { () throws(EndpointError) in
        try Listener.allInherited(framing: .varInt).count
      }
      print("again=\(again?.reason == .busy)")
      print("others=\(try Listener.allInherited(named: "c", framing: .varInt).count)")
      for (_, listener) in all { listener.close() }
    } catch {
      if case .transport(let failure) = error.reason { print("errno=\(failure.errno.rawValue)") }
      print("busy=\(error.reason == .busy)")
      print("changed=\(swsys_is_nonblocking(3) == 1)")
      // Nothing is held by the call that failed.
      print("a=\(try Listener.inherited(named: "a", framing: .varInt) != nil)")
    }
    withExtendedLifetime(raw) {}
  }

  /// Connects, says `hi`, and ends well if the answer is `ok`.
  static func greet(_ text: String) throws {
    do throws(EndpointError) {
      guard let address = Address(text) else { exit(2) }
      let peer = try Connector(to: address).blocking.connect(framing: .varInt)
      try peer.blocking.send("hi")
      exit(try peer.blocking.receive() == Array("ok".utf8) ? 0 : 3)
    } catch {
      print("error=\(error)")
      exit(4)
    }
  }

  /// Listens in a directory that is then made read-only: the file cannot be removed, and close ends all the same.
  static func unremovable(_ directory: String) throws {
    let path = FilePath(directory).appending("s")
    let listener = try Listener(.unix(path))
    let number = try listener.withDescriptor { $0.rawValue }
    unsafe chmod(directory, 0o500)
    listener.close()
    print("closed=\(listener.isClosed) open=\(swsys_get_close_on_exec(number) >= 0)")
    print("present=\(FileManager.default.fileExists(atPath: path.string))")
    unsafe chmod(directory, 0o700)
  }

  /// Publishes sockets at a path where there is one already. Says what fails, and with which errno.
  static func replace(_ path: String, _ refusals: Int) {
    let address = Address.unix(FilePath(path))
    for presence in [SocketFile.Presence.replaceStale, .takeOver] {
      let file = SocketFile.mode(0o600, ifPresent: presence)
      let name = presence == .takeOver ? "taken over" : "stale"
      PublishedName.$refusals.withValue(PublishedName.Refusals(rawValue: refusals)) {
        tell(name, blockingError { () throws(EndpointError) in try Listener(address, file: file) })
        tell(
          "\(name) datagrams",
          blockingError { () throws(EndpointError) in try bindDatagrams(at: address, file: file) })
      }
    }
  }

  private static func tell(_ name: String, _ error: EndpointError?) {
    guard case .transport(let failure) = error?.reason else { return print("\(name)=\(error as Any)") }
    print("\(name)=\(failure.operation) \(failure.errno.rawValue)")
  }

  /// Answers the clients that a policy for the user or the group 65534 admits, until standard input ends. Says then how many
  /// it has refused.
  static func admit(_ name: String, _ policy: String) throws {
    let policies: [String: AcceptPolicy] = [
      "same-user": .sameUser, "users": .users([65_534]), "groups": .groups([65_534]), "anyone": .anyone,
    ]
    let listener = try Listener(.abstract(name), framing: .varInt, accepting: policies[policy])
    let serving = TestThread {
      while let peer = try? listener.blocking.accept() {
        _ = try? peer.blocking.receive()
        _ = try? peer.blocking.send("ok")
        peer.close()
      }
    }
    print("ready")
    fflush(nil)
    while readLine() != nil {}
    print("refused=\(listener.refusedCount)")
    listener.close()
    try serving.join()
  }

  /// How often this process's threads have waited.
  static func waitCount() -> Int {
    var usage = rusage()
    _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_nvcsw
  }
}
