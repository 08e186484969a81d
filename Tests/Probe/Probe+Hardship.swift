import CSysShim
import Foundation
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage

// Actions of strangers against listeners, and lost peers.
extension Probe {
  private final class Counter: Sendable {
    private let count = Atomic(0)
    var value: Int { count.load(ordering: .relaxed) }
    func increase() { count.add(1, ordering: .relaxed) }
  }

  /// Connects to a path over and over until standard input ends. Says when it begins, when it is first refused for want of
  /// permission, and at the end how often it got in, and how often something else than that happened.
  static func intrude(_ path: String) throws {
    guard let address = SocketAddress(unixPath: path) else { exit(2) }
    let isOver = Atomic(false)
    let waiting = TestThread {
      // Not by the C library's stream: who reads holds its lock, and `fflush(nil)` waits for that.
      try waitForEndOfInput()
      isOver.store(true, ordering: .releasing)
    }
    print("begins")
    fflush(nil)
    var (connected, others, isRefused) = (0, 0, false)
    while !isOver.load(ordering: .acquiring) {
      for kind in [ConnectionKind.stream, .datagrams] {
        let result = try OwnedDescriptor.socket(for: .unnamedUnix, kind, .connect).connect(to: address)
        switch Errno(rawValue: -result) {
        case .permissionDenied where !isRefused:
          isRefused = true
          print("refused")
          fflush(nil)
        case .permissionDenied, .noSuchFileOrDirectory: break
        case _ where result >= 0: connected += 1
        default: others += 1
        }
      }
    }
    try waiting.join()
    print("in=\(connected) other=\(others)")
  }

  private static func waitForEndOfInput() throws {
    var byte: UInt8 = 0
    while unsafe try withUnsafeMutableBytes(
      of: &byte, { try unsafe FileDescriptor.standardInput.read(into: $0) }) > 0
    {}
  }

  /// Makes so many connections at once. Says how many answer, and how many are closed, and keeps them until standard input
  /// ends.
  static func crowd(_ text: String, _ count: Int) throws {
    let connector = Connector(to: try Address(parsing: text))
    let clients = try (0..<count).map { _ in try connector.blocking.connect(framing: .varInt) }
    var (served, closed) = (0, 0)
    for client in clients {
      do throws(EndpointError) {
        try client.blocking.send("hello")
        if try client.blocking.next(timeout: .patience) == nil { closed += 1 } else { served += 1 }
      } catch {
        closed += 1
      }
    }
    print("served=\(served) closed=\(closed)")
    fflush(nil)
    while readLine() != nil {}
    for client in clients { client.close() }
  }

  /// Starts programs while connections are made and accepted, and while sockets are received. Says how many sockets they
  /// have found open.
  static func spawnWhileAccepting() throws {
    // Its standard streams may be sockets.
    let usual = try socketsOfChild()
    let isOver = Atomic(false)
    let threads = try [Address.abstract(""), .tcp(host: "127.0.0.1", port: 0)].map { address in
      let listener = try Listener(address, framing: .varInt)
      let accepting = TestThread {
        while let peer = try? listener.blocking.accept() { peer.close() }
      }
      return (
        listener, accepting,
        TestThread {
          let connector = Connector(to: listener.address)
          while !isOver.load(ordering: .acquiring) {
            let (left, right) = try makeSocketPair()
            let bound = try bindDatagrams(at: .udp(host: "127.0.0.1", port: 0))
            let peer = try connector.blocking.connect(framing: .varInt)
            for endpoint in [left, right, bound, peer] as [any Endpoint] { endpoint.close() }
          }
        }
      )
    }
    let passing = TestThread {
      let (left, right) = try makeSocketPair(framing: .varInt)
      right.maximumDescriptors = 64
      let numbers = [FileDescriptor](repeating: try left.withDescriptor { $0 }, count: 64)
      while !isOver.load(ordering: .acquiring) {
        try left.blocking.send("sockets", passing: numbers)
        let received = try right.blocking.receiveMessage()
        if received.descriptors?.count != 64 { exit(3) }
      }
    }
    var found = 0
    for _ in 0..<100 { found += max(0, try socketsOfChild() - usual) }
    isOver.store(true, ordering: .releasing)
    try passing.join()
    for (listener, accepting, connecting) in threads {
      try connecting.join()
      listener.close()
      try accepting.join()
    }
    print("sockets=\(found)")
  }

  /// How many sockets a program finds open that is started without the care which the library's own children get.
  private static func socketsOfChild() throws -> Int {
    guard let output = unsafe popen("ls -l /proc/self/fd", "r") else { exit(1) }
    var (count, line) = (0, [CChar](repeating: 0, count: 512))
    while unsafe fgets(&line, 512, output) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if text.contains("socket:") { count += 1 }
    }
    if unsafe pclose(output) != 0 { exit(1) }
    return count
  }

  /// Threads and tasks wait for two seconds to connect to a listener whose queue is full.
  static func connectFull() async throws {
    let listener = try Listener(.abstract(""), framing: .varInt, backlog: 0)
    let address = listener.address
    var fillers: [MessageDuplex<VarIntFraming>] = []
    while let filler = try? await connect(to: address, framing: .varInt, timeout: .zero) {
      fillers.append(filler)
    }
    let before = cpuTime()
    let waitsBefore = waitCount()
    let begin = Deadline.now
    let late = Counter()
    let threads = (0..<2).map { _ in
      TestThread {
        do throws(EndpointError) {
          _ = try Connector(to: address).blocking.connect(framing: .varInt, timeout: .seconds(2))
        } catch {
          if error.reason == .timedOut { late.increase() }
        }
      }
    }
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<2 {
        group.addTask {
          do throws(EndpointError) {
            _ = try await connect(to: address, framing: .varInt, timeout: .seconds(2))
          } catch {
            if error.reason == .timedOut { late.increase() }
          }
        }
      }
    }
    for thread in threads { try await thread.value }
    let share = Double(cpuTime() - before) / Double(Deadline.now.nanoseconds - begin.nanoseconds)
    print("timedOut=\(late.value)")
    // A hundred attempts are made in two seconds. A loop without pauses makes far more, or takes a whole processor.
    print("spins=\(share > 0.1 || waitCount() - waitsBefore > 1_000)")
    for filler in fillers { filler.close() }
    listener.close()
  }

  /// In a network namespace of its own: clients in another one connect over a virtual link, which is cut.
  static func cutOff() async throws {
    func ip(_ arguments: String...) async throws {
      let result = try await Command("ip", arguments: arguments).run()
      guard result.status == .exited(0) else { fatalError("ip \(arguments): \(result.errorText)") }
    }
    try await ip("link", "add", "near0", "type", "veth", "peer", "name", "far0")
    let script = """
      echo ready
      read address
      ip addr add 10.231.1.2/30 dev far0 && ip link set far0 up
      "$0" hold "$address" 3 &
      read word
      ip link set far0 down && echo cut
      read word
      kill $!
      """
    let other = try await ChildProcess.spawn(
      "/usr/bin/unshare", arguments: ["--net", "sh", "-c", script, "/proc/\(getpid())/exe"],
      channel: .standardStreams, framing: .lines)
    _ = try await other.channel.receive(timeout: .patience)
    try await ip("link", "set", "far0", "netns", "\(other.processID)")
    try await ip("addr", "add", "10.231.1.1/30", "dev", "near0")
    try await ip("link", "set", "near0", "up")
    let listener = try Listener(.tcp(host: "10.231.1.1", port: 0), framing: .varInt)
    try await other.channel.send(listener.address.description)
    var peers: [MessageDuplex<VarIntFraming>] = []
    for _ in 0..<3 {
      let peer = try await listener.accept(timeout: .patience)
      guard try await peer.receive(timeout: .patience) == Array("hi".utf8) else { exit(1) }
      peers.append(peer)
    }
    try peers[0].setLossDetection(within: .seconds(1))
    try peers[1].setLossDetection(within: .seconds(1))
    try await other.channel.send("cut")
    guard try await other.channel.receive(timeout: .patience) == Array("cut".utf8) else { exit(1) }
    try await peers[1].send("into the void")
    for (peer, name) in zip(peers, ["silent", "sending"]) {
      do throws(EndpointError) {
        let message = try await peer.next(timeout: .patience)
        print("\(name)=\(message as Any)")
      } catch {
        guard case .transport(let failure) = error.reason else {
          print("\(name)=\(error)")
          continue
        }
        let names: [Errno: String] = [
          .timedOut: "ETIMEDOUT", .noRouteToHost: "EHOSTUNREACH", .networkUnreachable: "ENETUNREACH",
        ]
        print("\(name)=\(names[failure.errno] ?? "\(failure)")")
      }
    }
    do throws(EndpointError) {
      _ = try await peers[2].next(timeout: .zero)
      print("without=ended")
    } catch {
      print("without=\(error.reason == .timedOut ? "waits" : "\(error)")")
    }
    try await other.channel.send("end")
    _ = try await other.exitStatus
  }

  /// Makes so many connections, says `hi` over each, and keeps them.
  static func hold(_ text: String, _ count: Int) throws {
    let connector = Connector(to: try Address(parsing: text), waitingForServer: true)
    let clients = try (0..<count).map { _ in
      let client = try connector.blocking.connect(framing: .varInt, timeout: .patience)
      try client.blocking.send("hi")
      return client
    }
    pause()
    withExtendedLifetime(clients) {}
  }
}
