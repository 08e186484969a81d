import CSysShim
import Foundation
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// How accept treats errors, shortages, cancellations and closes.
@Suite(.lastResort, .leavesNothing)
struct AcceptingTests {
  /// A listener whose system call is a script, and whose reactor a test drives.
  final class Scripted: Sendable {
    enum Step: Sendable {
      case connection
      case fails(Errno)
    }

    struct State: Sendable {
      var steps: [Step] = []
      /// The result of an attempt after the end of the script.
      var rest = Step.fails(.wouldBlock)
      var calls = 0
      var spells: [Errno?] = []
      var refusals = 0
      var during: (@Sendable () -> Void)?
    }

    final class Script: Sendable {
      let state = Guarded(State())
      func withLock<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        state.withLock { body(&$0) }
      }
    }

    let state = Script()
    let reactor = ManualReactor()
    let closes = DescriptorShortage()
    let core: ListenerCore
    let listener: Listener<SocketDuplex>
    let file: OpenFile
    let observer: Observer

    /// Stands for a service, which is told of shortages.
    final class Observer: ServesConnections {
      private let state: Script
      init(_ state: Script) { self.state = state }
      func drain() {}
      var snapshot: [ListenerSnapshot.Connection] { [] }
      func tell(_ event: ListenerEvent) {
        switch event {
        case .acceptingPaused(let error): state.withLock { $0.spells.append(error.errno) }
        case .acceptingResumed: state.withLock { $0.spells.append(nil) }
        case .refused(.policy, _): state.withLock { $0.refusals += 1 }
        default: Issue.record("\(event)")
        }
      }
    }

    init(_ policy: AcceptPolicy = .anyone) throws {
      let socket = try OwnedDescriptor.socket(for: .unnamedUnix, .stream, .bind)
      file = socket.withDescriptor { OpenFile($0) }
      let state = state
      observer = Observer(state)
      let source = AcceptSource(socket, .stream, isUnix: true, policy, closes: closes) { _ in
        let during = state.withLock { $0.during }
        during?()
        let step = state.withLock { state in
          state.calls += 1
          return state.steps.isEmpty ? state.rest : state.steps.removeFirst()
        }
        switch step {
        case .fails(let errno): return -errno.rawValue
        case .connection:
          guard let pair = try? DescriptorPair.sockets(.unix) else { return -Errno.noMemory.rawValue }
          return pair.first.release().rawValue
        }
      }
      core = ListenerCore(accepting: source, address: .abstract("script"), reactor: reactor)
      core.enter(observer)
      listener = Listener(core, .readAhead)
    }

    deinit {
      state.withLock { $0.during = nil }
      reactor.forgetAll()
    }

    func script(_ steps: Step..., rest: Step = .fails(.wouldBlock)) {
      state.withLock { ($0.steps, $0.rest) = (steps, rest) }
    }

    var calls: Int { state.withLock { $0.calls } }
    var spells: [Errno?] { state.withLock { $0.spells } }

    /// A task's call, driven by hand.
    func start() -> HandStarted<ReceiveHalf.Outcome> {
      switch core.half.start(ReceiveHalf.nextItem, as: .task, until: .never) {
      case .ended(let outcome): .ended(outcome)
      case .queued(let place): .waiting(HandCaller(place, in: core.half))
      }
    }
  }

  @Test(arguments: [
    Errno.connectionAbort, .protocolError, .networkDown, .protocolNotAvailable, .hostIsDown, .noRouteToHost,
    .networkUnreachable, .connectionReset, .notPermitted, .notSupportedOnSocket, .timedOut,
  ])
  func `an error of the peer's is skipped`(errno: Errno) throws {
    let scripted = try Scripted()
    scripted.script(.fails(errno), .fails(errno), .connection)
    let peer = try scripted.listener.blocking.accept(timeout: .zero)
    peer.close()
    #expect(scripted.calls == 3 && scripted.reactor.timerCount == 0)
    scripted.listener.close()
  }

  /// As where a filter of system calls refuses every one of them. No descriptor is missing, so nobody is told of a shortage.
  @Test func `where accept finds nothing but errors of peers it pauses`() throws {
    let scripted = try Scripted()
    scripted.script(rest: .fails(.notPermitted))
    guard case .waiting(let caller) = scripted.start() else {
      Issue.record("it ended")
      return
    }
    var lengths: [UInt64] = []
    for round in 1...3 {
      #expect(scripted.calls == 64 * round && scripted.reactor.timerCount == 1)
      lengths.append(scripted.core.half.inspect { $0.pauseLength } / 1_000_000)
      scripted.core.half.endPauseEarly()
      scripted.reactor.drive()
    }
    #expect(lengths == [10, 20, 40])
    #expect(scripted.spells.isEmpty && scripted.closes.count == 0)
    scripted.script(.connection)
    scripted.core.half.endPauseEarly()
    scripted.reactor.drive()
    #expect(caller.isDecided)
    scripted.listener.close()
  }

  @Test(arguments: [Errno.badFileDescriptor, .invalidArgument, .notSocket])
  func `a final error ends the listener`(errno: Errno) throws {
    let scripted = try Scripted()
    scripted.script(rest: .fails(errno))
    for _ in 0..<2 {
      let error = blockingError { try scripted.listener.blocking.accept(timeout: .zero) }
      #expect(error?.failure == TransportError(.accept, errno))
      #expect(error?.subject == .service(.abstract("script")))
    }
    #expect(scripted.calls == 1)
    scripted.listener.close()
  }

  @Test(arguments: [
    Errno.tooManyOpenFiles, .tooManyOpenFilesInSystem, .noBufferSpace, .noMemory, Errno(rawValue: 4095),
  ])
  func `a shortage pauses from 10 ms to a second, and is told once`(errno: Errno) throws {
    let scripted = try Scripted()
    scripted.script(rest: .fails(errno))
    guard case .waiting(let caller) = scripted.start() else {
      Issue.record("it ended")
      return
    }
    var lengths: [UInt64] = []
    for round in 1...9 {
      #expect(scripted.calls == 2 * round && scripted.reactor.timerCount == 1)
      let length = scripted.core.half.inspect { $0.pauseLength }
      lengths.append(length / 1_000_000)
      // Not before its time.
      scripted.reactor.drive()
      #expect(scripted.calls == 2 * round)
      scripted.core.half.endPauseEarly()
      scripted.reactor.drive()
    }
    #expect(lengths == [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000])
    #expect(scripted.spells == [errno])
    scripted.script(.connection)
    scripted.core.half.endPauseEarly()
    scripted.reactor.drive()
    #expect(caller.isDecided)
    #expect(scripted.spells == [errno, nil])
    #expect(scripted.closes.count == 0)
    scripted.listener.close()
  }

  @Test func `a close of the library's ends the pause at once`() throws {
    let scripted = try Scripted()
    scripted.script(rest: .fails(.tooManyOpenFiles))
    guard case .waiting(let caller) = scripted.start() else {
      Issue.record("it ended")
      return
    }
    #expect(scripted.closes.count == 1)
    // This fails, because another caller has taken it.
    scripted.closes.noteClose()
    scripted.reactor.drive()
    #expect(!caller.isDecided && scripted.closes.count == 1)
    scripted.script(.connection)
    scripted.closes.noteClose()
    #expect(scripted.closes.count == 0)
    scripted.reactor.drive()
    #expect(caller.isDecided)
    scripted.listener.close()
  }

  @Test func `a close between the failed attempt and the pause is not missed`() throws {
    let scripted = try Scripted()
    // Closes while the second attempt of each pass is under way.
    scripted.script(.fails(.tooManyOpenFiles), .fails(.tooManyOpenFiles), .connection)
    scripted.state.withLock { state in
      state.during = { [state = scripted.state, closes = scripted.closes] in
        if state.withLock({ $0.calls }) == 1 { closes.noteClose() }
      }
    }
    let peer = try scripted.listener.blocking.accept(timeout: .patience)
    peer.close()
    #expect(scripted.calls == 3)
    scripted.listener.close()
  }

  @Test func `a thread's pause ends at a close, too`() async throws {
    let scripted = try Scripted()
    scripted.script(rest: .fails(.tooManyOpenFiles))
    let thread = TestThread { () throws -> SocketDuplex in try scripted.listener.blocking.accept() }
    await eventually { scripted.core.half.inspect { $0.isHeadPaused } }
    scripted.script(.connection)
    scripted.closes.noteClose()
    try await thread.value.close()
    scripted.listener.close()
  }

  @Test func `every close of the library's counts`() throws {
    let shortage = DescriptorShortage.shared
    let told = Guarded(0)
    let closes: [() throws -> Void] = [
      { _ = try DescriptorPair.pipe() }, { try makePipe().reader.close() },
      { try makeSocketPair().0.close() },
    ]
    for close in closes {
      let waiter = Gate()
      told.withLock { $0 = 0 }
      shortage.enter(waiter) { told.withLock { $0 += 1 } }
      try close()
      #expect(told.withLock { $0 } == 1, "once")
      shortage.leave(waiter)
    }
  }

  @Test func `a connection whose receiver is cancelled at that moment goes to the next one`() throws {
    let scripted = try Scripted()
    guard case .waiting(let first) = scripted.start() else {
      Issue.record("it ended")
      return
    }
    scripted.script(.connection)
    scripted.state.withLock { $0.during = { first.giveUp(.cancelled) } }
    scripted.core.half.stir()
    scripted.reactor.drive()
    #expect(first.isDecided)
    scripted.state.withLock { $0.during = nil }
    let calls = scripted.calls
    let peer = try scripted.listener.blocking.accept(timeout: .zero)
    #expect(scripted.calls == calls, "it was there already")
    peer.close()
    scripted.listener.close()
  }

  @Test func `a connection that is accepted while the listener is closed is closed, too`() async throws {
    let before = libraryDescriptors()
    let scripted = try Scripted()
    guard case .waiting(let first) = scripted.start() else {
      Issue.record("it ended")
      return
    }
    scripted.script(.connection)
    scripted.state.withLock { $0.during = { [core = scripted.core] in core.close() } }
    scripted.core.half.stir()
    scripted.reactor.drive()
    #expect(first.isDecided)
    scripted.state.withLock { $0.during = nil }
    #expect(!scripted.file.isOpen)
    // The listener, which others may have, is closed through a pair of sockets, on another thread.
    await eventually { libraryDescriptors().subtracting(before).isEmpty }
  }

  @Test func `refused connections are closed and counted, and others have their turn`() async throws {
    let before = libraryDescriptors()
    let scripted = try Scripted(.when { _ in false })
    scripted.script(rest: .connection)
    guard case .waiting(let caller) = scripted.startQueued() else {
      Issue.record("it ended")
      return
    }
    // The reactor drives, and gives up after a budget.
    #expect(scripted.reactor.driveOnce())
    let refused = scripted.listener.refusedCount
    #expect(refused > 0 && refused <= 1_024)
    #expect(scripted.state.withLock { $0.refusals } == refused, "each is told")
    #expect(scripted.reactor.isCalled, "it goes on")
    scripted.listener.close()
    #expect(caller.isDecided)
    // The listener, which others may have, is closed through a pair of sockets, on another thread.
    await eventually { libraryDescriptors().subtracting(before).isEmpty }
  }

  // MARK: Real ones

  /// A program that gets a connection as its standard input expects that a read waits.
  @Test(arguments: [ListenPlace.unix, .longPath, .abstract, .tcp])
  func `a connection can be a program's standard input and output`(_ place: ListenPlace) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try place.listener(directory)
    for givesClient in [false, true] {
      let client = try await connect(to: listener.address, framing: .varInt)
      let server = try await listener.accept()
      let (given, kept) = givesClient ? (client, server) : (server, client)
      let child = try given.withDescriptor { number in try number.duplicate() }
      var command = Command("cat")
      command.standardInput = .descriptor(child)
      command.standardOutput = .descriptor(child)
      let program = try await command.spawn()
      try child.close()
      given.close()
      // It finds nothing at first.
      for text in ["one", "two"] {
        try await kept.send(text)
        #expect(try await kept.receive(timeout: .patience) == Array(text.utf8))
      }
      kept.close()
      #expect(try await program.exitStatus == .exited(0))
    }
    listener.close()
  }

  @Test func `peers that reset while they wait do not end the listener`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.tcp.listener(directory)
    let address = try #require(listener.address.socketAddress)
    let serving = Task {
      for try await peer in listener.connections {
        Task {
          if let message = try? await peer.receive() { try await peer.send(message) }
        }
      }
    }
    for round in 0..<stressed(10_000) {
      let client = try HandClient(address)
      client.reset()
      if round % 50 == 0 {
        let real = try await connect(to: listener.address, framing: .varInt)
        try await real.send("\(round)")
        #expect(try await real.receive() == Array("\(round)".utf8))
        real.close()
      }
    }
    listener.close()
    try await serving.value
  }

  @Test func `descriptors are close-on-exec and above the standard streams`() async throws {
    for place in ListenPlace.allCases {
      let directory = try TestDirectory()
      defer { directory.remove() }
      let listener = try place.listener(directory)
      let client = try await connect(to: listener.address, framing: .varInt, kind: place.kind)
      let server = try await listener.accept()
      #expect(!client.isInheritable && !server.isInheritable)
      let numbers = [
        try listener.withDescriptor { $0.rawValue }, try client.withDescriptor { $0.rawValue },
        try server.withDescriptor { $0.rawValue },
      ]
      for number in numbers { #expect(number > 2 && swsys_get_close_on_exec(number) == 1) }
      client.close()
      server.close()
      listener.close()
    }
  }

  @Test(.disabled(if: isSanitized, "a sanitizer's own time counts"))
  func `at the limit of descriptors all are served in the end, and nothing spins`() async throws {
    let probe = process(try probePath(), ["accept-limit"])
    let (input, output) = (Pipe(), Pipe())
    (probe.standardInput, probe.standardOutput) = (input, output)
    try probe.run()
    let reader = try MessageReader(
      duplicating: FileDescriptor(rawValue: output.fileHandleForReading.fileDescriptor), framing: .lines)
    let address = try Address(parsing: String(decoding: try await reader.receive(), as: UTF8.self))
    var clients: [MessageDuplex<VarIntFraming>] = []
    for _ in 0..<100 { clients.append(try await connect(to: address, framing: .varInt)) }
    try input.fileHandleForWriting.write(contentsOf: Data("100\n".utf8))
    for client in clients { #expect(try await client.receive() == Array("served".utf8)) }
    var lines: [String] = []
    while let line = try await reader.next() { lines.append(String(decoding: line, as: UTF8.self)) }
    #expect(lines.dropFirst() == ["timedOut=true", "spins=false", "served=100"], "\(lines)")
    probe.waitUntilExit()
    reader.close()
    for client in clients { client.close() }
  }

  @Test func `threads and tasks share the connections, each once`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    defer { listener.close() }
    let count = stressed(2_000)
    let served = Guarded(0)
    let serve: @Sendable (MessageDuplex<VarIntFraming>) -> Void = { peer in
      peer.close()
      served.withLock { $0 += 1 }
    }
    let threads = (0..<3).map { _ in
      TestThread { () throws in while let peer = try? listener.blocking.accept() { serve(peer) } }
    }
    let tasks = (0..<3).map { _ in Task { for try await peer in listener.connections { serve(peer) } } }
    for _ in 0..<count {
      let client = try await connect(to: listener.address, framing: .varInt)
      #expect(await endpointError { try await client.receive() }?.reason == .endOfStream)
      client.close()
    }
    listener.close()
    for thread in threads { try await thread.value }
    for task in tasks { try await task.value }
    #expect(served.withLock { $0 } == count)
  }

  @Test func `cancelled accepts lose no connection`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let count = stressed(500)
    let served = Guarded(0)
    let serve: @Sendable () async -> Void = {
      guard let peer = try? await listener.accept() else { return }
      peer.close()
      if served.withLock({ served in
        served += 1
        return served == count
      }) {
        listener.close()
      }
    }
    let accepting = Task {
      while !listener.isClosed {
        let call = Task { await serve() }
        let other = Task { await serve() }
        await Task.yield()
        call.cancel()
        await call.value
        await other.value
      }
    }
    for _ in 0..<count {
      let client = try await connect(to: listener.address, framing: .varInt)
      #expect(await endpointError { try await client.receive() }?.reason == .endOfStream)
      client.close()
    }
    await accepting.value
  }
}

extension AcceptingTests.Scripted {
  /// A task's call whose place is queued, for which the reactor is called.
  fileprivate func startQueued() -> HandStarted<ReceiveHalf.Outcome> {
    script(rest: .fails(.wouldBlock))
    let started = start()
    script(rest: .connection)
    core.half.stir()
    return started
  }
}
