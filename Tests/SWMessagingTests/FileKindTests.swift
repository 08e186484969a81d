import CSysShim
import CSysTestSupport
import Foundation
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Line 12 of the contract, of what is always ready or has but one end: files, devices, and what is
/// peculiar to pipes and terminals.
@Suite(.lastResort, .leavesNothing) struct FileKindTests {
  private func withFile<Result>(
    _ contents: [UInt8] = [], _ body: (FilePath) async throws -> Result
  ) async throws -> Result {
    let path = FileManager.default.temporaryDirectory.appending(path: "kinds-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: path) }
    try Data(contents).write(to: path)
    return try await body(FilePath(path.path))
  }

  private func device(_ name: String, _ mode: FileDescriptor.AccessMode) throws -> OwnedDescriptor {
    OwnedDescriptor(adopting: try FileDescriptor.open(FilePath("/dev/\(name)"), mode, options: .closeOnExec))
  }

  private func open(
    _ path: FilePath, _ mode: FileDescriptor.AccessMode, _ options: FileDescriptor.OpenOptions = []
  ) throws -> OwnedDescriptor {
    OwnedDescriptor(adopting: try FileDescriptor.open(path, mode, options: options.union(.closeOnExec)))
  }

  // MARK: Files

  /// Fault 16 of the original: async on a regular file failed.
  @Test func `line 12: fault 16: messages go to a file and come from it, blocking and asynchronous`()
    async throws
  {
    try await withFile { path in
      let writer = try MessageWriter(adopting: try open(path, .writeOnly), framing: .lines)
      for number in 0..<200 { try await writer.send(line(number), timeout: .zero) }
      try await TestThread { for number in 200..<400 { try writer.blocking.send(line(number)) } }.value
      try await writer.send(contentsOf: (400..<500).map { line($0) })
      writer.finishSending()
      let blocking = try MessageReader(adopting: try open(path, .readOnly), framing: .lines)
      let thread = TestThread { () -> Int in
        var count = 0
        while let message = try blocking.blocking.next(timeout: .zero) {
          if message != line(count) { return -1 }
          count += 1
        }
        return count
      }
      #expect(try await thread.value == 500)
      let reader = try MessageReader(adopting: try open(path, .readOnly), framing: .lines)
      var count = 0
      for try await message in reader.messages {
        try #require(message == line(count))
        count += 1
      }
      #expect(count == 500)
      #expect(await endpointError { try await reader.receive() }?.reason == .endOfStream)
      // Several at once, in order.
      let shared = try MessageReader(adopting: try open(path, .readOnly), framing: .lines)
      let tasks = (0..<8).map { _ in
        Task {
          var messages: [[UInt8]] = []
          while let message = try await shared.next() { messages.append(message) }
          return messages
        }
      }
      var all: Set<[UInt8]> = []
      for task in tasks { all.formUnion(try await task.value) }
      #expect(all == Set((0..<500).map { line($0) }))
    }
  }

  @Test func `a file is read, though descriptors and credentials were asked for`() async throws {
    let frames = try varIntFrame([1]) + varIntFrame(pattern(100_000))
    try await withFile(frames) { path in
      let reader = try MessageReader(adopting: try open(path, .readOnly), framing: .varInt)
      let refusal = blockingError { try reader.setReceivesCredentials(true) }?.reason
      #expect(refusal == .transport(TransportError(.receive, .notSupported)))
      reader.maximumDescriptors = 1
      #expect(try await reader.receive() == [1])
      #expect(try await reader.receiveMessage().message == pattern(100_000))
      #expect(try await reader.next() == nil)
    }
  }

  @Test func `line 12: large payloads go through files whole`() async throws {
    try await withFile { path in
      let writer = try MessageWriter(adopting: try open(path, .writeOnly), framing: .varInt)
      for seed in 0..<3 { try await writer.send(pattern(3_000_000, seed: seed)) }
      writer.close()
      let reader = try MessageReader(adopting: try open(path, .readOnly), framing: .varInt)
      for seed in 0..<3 {
        let message = try await reader.receive()
        #expect(message == pattern(3_000_000, seed: seed))
      }
      #expect(try await reader.next() == nil)
    }
  }

  @Test func `line 12: a file that ends inside a message says so, with the partial bytes`() async throws {
    try await withFile(Array("one\ntw".utf8)) { path in
      let reader = try MessageReader(adopting: try open(path, .readOnly), framing: .lines)
      #expect(try await reader.receive() == Array("one".utf8))
      let error = await endpointError { try await reader.receive() }
      #expect(error?.reason == .truncated && error?.partialBytes == Array("tw".utf8))
    }
  }

  @Test func `line 12: exact receives leave the file where the message ends, for who shares it`() async throws
  {
    try await withFile(Array("one\ntwo\nthree\n".utf8)) { path in
      let file = try open(path, .readOnly)
      let first = try MessageReader(
        adopting: try OwnedDescriptor(duplicating: file.withDescriptor { $0 }), framing: .lines, mode: .exact)
      #expect(try await first.receive() == Array("one".utf8))
      let second = try MessageReader(
        adopting: try OwnedDescriptor(duplicating: file.withDescriptor { $0 }), framing: .lines)
      #expect(try await second.receive() == Array("two".utf8))
      // A helper thread resumes the receiver before it gives the turn back.
      await eventually { second.core.receiving?.inspect { !$0.turn } ?? false }
      let detached = try second.detach().release()
      #expect(detached.unread == Array("three\n".utf8))
      let third = try MessageReader(
        adopting: detached.descriptor, unread: detached.unread, framing: .lines)
      #expect(try await TestThread { try third.blocking.receive() }.value == Array("three".utf8))
      #expect(try await third.next() == nil)
      #expect(try await first.next() == nil)
    }
  }

  @Test func `line 12: closing and cancelling mean the same on a file`() async throws {
    try await withFile(Array("one\ntwo\n".utf8)) { path in
      let reader = try MessageReader(adopting: try open(path, .readOnly), framing: .lines)
      let isCancelled = Gate()
      let cancelled = Task {
        await isCancelled.wait()
        return await endpointError { try await reader.receive() }
      }
      cancelled.cancel()
      isCancelled.open()
      #expect(await cancelled.value?.reason == .cancelled)
      #expect(try await reader.receive() == Array("one".utf8))
      reader.close()
      #expect(await endpointError { try await reader.receive() }?.reason == .closed)
      let writer = try MessageWriter(adopting: try open(path, .writeOnly, .append), framing: .lines)
      try await writer.send("three")
      writer.close()
      #expect(await endpointError { try await writer.send("four") }?.reason == .closed)
      #expect(try String(contentsOfFile: path.string, encoding: .utf8) == "one\ntwo\nthree\n")
    }
  }

  /// Nothing of the message is in the file, so there is nothing that the next one would follow.
  @Test func `line 15: a disk that is full fails one message, and not the next`() async throws {
    try await withFile { path in
      let writer = try MessageWriter(adopting: try open(path, .writeOnly), framing: .lines)
      try await writer.send("one")
      let error = try await TestThread { () -> EndpointError? in
        #expect(swsys_fail_here(Int32(SWSYS_CALL_WRITE), Errno.noSpace.rawValue) == 0)
        return blockingError { try writer.blocking.send("two") }
      }.value
      #expect(error?.reason == .transport(TransportError(.send, .noSpace)) && error?.isCommitted == false)
      try await writer.send("three")
      #expect(try Data(contentsOf: URL(filePath: path.string)) == Data("one\nthree\n".utf8))
    }
  }

  // MARK: Pipes

  /// A program may restrict itself when its pipes are open already.
  @Test(arguments: [Errno.notPermitted, .permissionDenied, .noFunction, .notSupported])
  func `line 12: a filter of system calls that comes later does not end a pipe`(_ errno: Errno) async throws {
    let (reader, writer) = try makePipe(framing: .lines)
    try await writer.send("one")
    try await writer.send("two")
    #expect(try await reader.receive() == Array("one".utf8))
    try await TestThread {
      for call in [SWSYS_CALL_PREADV2, SWSYS_CALL_PWRITEV2] {
        try #require(swsys_fail_here(Int32(call), errno.rawValue) == 0)
      }
      #expect(try reader.blocking.receive() == Array("two".utf8))
      try writer.blocking.send("three")
      #expect(try reader.blocking.receive() == Array("three".utf8))
    }.value
  }

  @Test func `line 12: what could not be tried for lack of descriptors is tried again`() async {
    await #expect(processExitsWith: .success) {
      let first = try DescriptorPair.pipe()
      let second = try DescriptorPair.pipe()
      let numbers = [first.first.release().rawValue, second.first.release().rawValue]
      var limit = rlimit()
      _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      var none = rlimit(rlim_cur: 1, rlim_max: limit.rlim_max)
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &none)
      let early = Result { try makeTransport(over: numbers[0], for: .readable) }
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let late = try makeTransport(over: numbers[1], for: .readable)
      _ = try early.get()
      let hasNowait = swsys_probe_nowait()
      #expect((late is PipeTransport) == (hasNowait != 0))
    }
  }

  // MARK: Devices

  /// Fault 16 of the original, its other half.
  @Test(arguments: [true, false])
  func `line 12: fault 16: the null device ends at once and takes everything`(_ reopens: Bool) async throws {
    let features = KernelFeatures(nowaitPipes: true, nosignalPipes: true, reopens: reopens)
    try await KernelFeatures.$override.withValue(features) {
      let reader = try MessageReader(adopting: try device("null", .readOnly), framing: .lines)
      #expect(try await reader.next() == nil)
      #expect(await endpointError { try await reader.receive(timeout: .zero) }?.reason == .endOfStream)
      #expect(try await TestThread { try reader.blocking.next() }.value == nil)
      let writer = try MessageWriter(adopting: try device("null", .writeOnly), framing: .lines)
      try await writer.send([UInt8](repeating: 97, count: 3_000_000))
      try await writer.send("more", timeout: .zero)
      try await TestThread { try writer.blocking.send("and more") }.value
      try await writer.flush()
      writer.finishSending()
      let duplex = try SocketDuplex(adopting: try device("null", .readWrite))
      try await duplex.send([1])
      #expect(await endpointError { try await duplex.receive() }?.reason == .endOfStream)
      duplex.close()
    }
  }

  @Test func `line 12: endless and full devices`() async throws {
    let zero = try SocketReader(adopting: try device("zero", .readOnly))
    #expect(try await zero.receive(exactly: 100_000) == [UInt8](repeating: 0, count: 100_000))
    let full = try MessageWriter(adopting: try device("full", .writeOnly), framing: .lines)
    #expect(
      await endpointError { try await full.send("x") }?.reason
        == .transport(TransportError(.send, .noSpace)))
  }

  // MARK: Pipes

  /// The writing end alone has the flag, as `pipe2` leaves it: reading ahead must not cut a packet.
  @Test(arguments: ["native", "reopened", "polled"].compactMap(KernelBranch.init))
  func `line 12: packets from a writer that says nothing of them are not cut when reading ahead`(
    _ branch: KernelBranch
  ) async throws {
    let pair = try packetPipe(declared: false)
    let ends = (pair.first.release(), pair.second.release())
    let (reader, raw) = try KernelFeatures.$override.withValue(branch.features) {
      (
        try MessageReader(adopting: ends.0, framing: .varInt),
        try SocketWriter(adopting: ends.1)
      )
    }
    // Packets whose borders are nowhere near those of the messages, and payloads that are assembled in place.
    let sizes = (0..<300).map { $0 * 997 % 5_003 } + [65_536, 100_000, 40_001, 70_000]
    let bytes = try sizes.flatMap { try varIntFrame(pattern($0, seed: $0)) }
    let sending = Task {
      var start = 0
      var size = 1
      while start < bytes.count {
        try await raw.send(bytes[start..<min(start + size, bytes.count)])
        start += size
        size = size * 7 % 4_096 + 1
      }
      raw.close()
    }
    for size in sizes {
      let message = try await reader.receive()
      try #require(message == pattern(size, seed: size))
    }
    #expect(try await reader.next() == nil)
    try await sending.value
  }

  @Test func `line 12: each send to an O_DIRECT pipe is a packet, on a description of our own too`() throws {
    for branch in [KernelBranch.native, .reopened, .polled] {
      let pair = try packetPipe(declared: false)
      let ends = (pair.first.release(), pair.second.release())
      let (reader, writer) = try KernelFeatures.$override.withValue(branch.features) {
        (try SocketReader(adopting: ends.0), try SocketWriter(adopting: ends.1))
      }
      for text in ["one", "two", "three"] { try writer.blocking.send(text) }
      for text in ["one", "two", "three"] {
        #expect(try reader.blocking.receive() == Array(text.utf8), "\(branch)")
      }
    }
  }

  /// A reader that knows nothing of the library's ways makes one call for each packet.
  @Test func `line 12: what is spliced into an O_DIRECT pipe is a packet, too`() throws {
    let pair = try packetPipe(declared: false)
    let (reading, writing) = (pair.first.release(), pair.second.release())
    let writer = try KernelFeatures.$override.withValue(KernelBranch.polled.features) {
      try SocketWriter(adopting: writing)
    }
    for text in ["one", "three", "seven"] { try writer.blocking.send(text) }
    for text in ["one", "three", "seven"] {
      let packet = try unsafe [UInt8](unsafeUninitializedCapacity: 4_096) { room, count in
        count = try unsafe reading.read(into: UnsafeMutableRawBufferPointer(room))
      }
      #expect(packet == Array(text.utf8))
    }
    writer.close()
    try reading.close()
  }

  @Test(arguments: [KernelBranch.native, .polled])
  func `line 12: a reader of a named pipe waits for its first writer, and for a slow one`(
    _ branch: KernelBranch
  ) async throws {
    for waitsAsTask in [true, false] {
      let fifo = try Fifo()
      let reading = try fifo.openForReading().release()
      let reader = try KernelFeatures.$override.withValue(branch.features) {
        try MessageReader(adopting: reading, framing: .lines)
      }
      #expect(await endpointError { try await reader.receive(timeout: .zero) }?.reason == .timedOut)
      let received = Guarded<[[UInt8]]>([])
      let task =
        waitsAsTask
        ? Task { while let m = try await reader.next() { received.withLock { $0.append(m) } } } : nil
      let thread =
        waitsAsTask
        ? nil : TestThread { while let m = try reader.blocking.next() { received.withLock { $0.append(m) } } }
      await eventually { reader.queued == 1 }
      let first = try SocketWriter(adopting: try fifo.openForWriting())
      for byte in Array("slow\nan".utf8) {
        try await first.send([byte])
        await Task.yield()
      }
      await eventually { received.withLock { $0.count } == 1 && reader.queued == 1 }
      // A second writer is there before the first one goes: no end in between.
      let second = try SocketWriter(adopting: try fifo.openForWriting())
      first.close()
      try await second.send("d slower\n")
      await eventually { received.withLock { $0.count } == 2 }
      second.close()
      try await task?.value
      try await thread?.value
      #expect(received.withLock { $0 } == [Array("slow".utf8), Array("and slower".utf8)])
    }
  }

  @Test
  func `line 12: a reader that came when the writer of a named pipe had gone sees what it left, and the end`()
    async throws
  {
    let fifo = try Fifo()
    let pair = try fifo.open()
    let (reading, writing) = (pair.first.release(), pair.second.release())
    _ = try writing.writeAll("left\n".utf8)
    try writing.close()
    // Our own description is opened now, and never sees a writer.
    let reader = try MessageReader(adopting: reading, framing: .lines)
    #expect(try await reader.receive(timeout: .patience) == Array("left".utf8))
    #expect(try await reader.next(timeout: .patience) == nil)
  }

  @Test func `line 12: a named pipe that is open both ways is a duplex that never ends`() async throws {
    let fifo = try Fifo()
    let duplex = try MessageDuplex(
      adopting: try open(fifo.path, .readWrite), framing: .lines)
    let waiting = Task { try await duplex.receive() }
    await eventually { duplex.queued == 1 }
    try await duplex.send("to myself")
    #expect(try await waiting.value == Array("to myself".utf8))
    #expect(await endpointError { try await duplex.receive(timeout: .milliseconds(10)) }?.reason == .timedOut)
  }

  // MARK: Terminals

  @Test func `line 12: both directions of one terminal`() async throws {
    let terminal = try PseudoTerminal(isRaw: true)
    let line = try MessageDuplex(adopting: terminal.line, framing: .lines)
    let master = try MessageDuplex(adopting: terminal.master, framing: .lines)
    let echo = Task { while let message = try await line.next() { try await line.send(message.reversed()) } }
    for number in 0..<50 {
      try await master.send(SWMessagingTests.line(number))
      #expect(try await master.receive(timeout: .patience) == SWMessagingTests.line(number).reversed())
    }
    master.close()
    // Hung up: the end, or an error if it was writing just then.
    _ = await echo.result
  }

  @Test func `line 12: an end typed at a terminal is the end of the stream`() async throws {
    let terminal = try PseudoTerminal(isRaw: false)
    let reader = try MessageReader(adopting: terminal.line, framing: .lines)
    let master = try SocketWriter(adopting: terminal.master)
    let waiting = Task { try await reader.next() }
    try await master.send("typed\n\u{4}")
    #expect(try await waiting.value == Array("typed".utf8))
    #expect(try await reader.next(timeout: .patience) == nil)
    master.close()
  }

  /// With VMIN 0 a read of nothing returns 0, which elsewhere is the end.
  @Test(arguments: [KernelBranch.native, .polled])
  func `line 12: a raw terminal on which nothing is typed yet has not ended`(_ branch: KernelBranch)
    async throws
  {
    let terminal = try PseudoTerminal(isRaw: true)
    terminal.line.withDescriptor { descriptor in
      PseudoTerminal.change(descriptor.rawValue) { settings in
        settings.c_cc.6 = 0  // VMIN
        settings.c_cc.5 = 0  // VTIME
      }
    }
    let (line, other) = (terminal.line.release(), terminal.master.release())
    let reader = try KernelFeatures.$override.withValue(branch.features) {
      try MessageReader(adopting: line, framing: .lines)
    }
    let master = try SocketWriter(adopting: other)
    #expect(await endpointError { try await reader.receive(timeout: .zero) }?.reason == .timedOut)
    let task = Task { try await reader.next() }
    await eventually { reader.queued == 1 }
    let thread = TestThread { try reader.blocking.next() }
    await eventually { reader.queued == 2 }
    try await master.send("one\n")
    #expect(try await task.value == Array("one".utf8))
    try await master.send("two\n")
    #expect(try await thread.value == Array("two".utf8))
    master.close()
    #expect(try await reader.next(timeout: .patience) == nil)
  }

  /// It takes bytes while there is room, and nobody will make more.
  @Test(arguments: [KernelBranch.native, .polled])
  func `line 12: the master of a terminal that nobody has open fails when it is full`(_ branch: KernelBranch)
    throws
  {
    let terminal = try PseudoTerminal(isRaw: true)
    let (line, other) = (terminal.line.release(), terminal.master.release())
    let master = try KernelFeatures.$override.withValue(branch.features) { try SocketWriter(adopting: other) }
    try line.close()
    try master.blocking.send([1])
    let error = blockingError {
      try master.blocking.send([UInt8](repeating: 1, count: 1 << 20), timeout: .patience)
    }
    #expect(error?.failure?.errno == .ioError)
    #expect((error?.byteCount ?? 0) > 0)
    master.close()
  }

  /// The error is that of a program in the background. When the library looks, it may be in front again.
  @Test
  func `line 12: an error of a terminal that is in front by now is tried again, and reported if it stays`()
    throws
  {
    let terminal = try PseudoTerminal(isRaw: false)
    let error = TransportError(.receive, .ioError, scope: .direction)
    terminal.line.withDescriptor { line in
      let read = EmptyRead.endOfTerminal(TerminalModes(line.rawValue))
      func triesAgain() {
        for _ in 0..<TerminalModes.mostErrors {
          #expect(read.attempt(line.rawValue) { -Int(EIO) } == .retryLater)
        }
      }
      triesAgain()
      #expect(read.attempt(line.rawValue) { 3 } == .transferred(3))
      triesAgain()
      #expect(read.attempt(line.rawValue) { -Int(EIO) } == .failed(error))
      let other = TransportError(.receive, .invalidArgument, scope: .direction)
      #expect(read.attempt(line.rawValue) { -Int(EINVAL) } == .failed(other))
    }
  }

  /// Another process may set the mode between the read and the look at it.
  @Test func `line 12: a mode that has changed since a read makes no end`() throws {
    let terminal = try PseudoTerminal(isRaw: true)
    func isQuiet(_ settings: inout termios) {
      settings.c_cc.6 = 0  // VMIN
      settings.c_lflag &= ~tcflag_t(ICANON)
    }
    func isCanonical(_ settings: inout termios) { settings.c_lflag |= tcflag_t(ICANON) }
    terminal.line.withDescriptor { line in
      let line = line.rawValue
      PseudoTerminal.change(line, isQuiet)
      let read = EmptyRead.endOfTerminal(TerminalModes(line))
      let nothing = {
        PseudoTerminal.change(line, isCanonical)
        return 0
      }
      #expect(read.attempt(line, nothing) == .wouldBlock, "nothing was typed, and then lines were asked for")
      #expect(read.attempt(line) { 0 } == .endOfStream, "the end of a line")
      PseudoTerminal.change(line, isQuiet)
      #expect(read.attempt(line) { 0 } == .wouldBlock)
      #expect(read.attempt(line, nothing) == .wouldBlock)
      #expect(read.attempt(line) { 0 } == .endOfStream)
    }
  }

  /// Raw programs that wait for a byte never read nothing.
  @Test func `line 12: the first end is one where the terminal was raw before`() throws {
    let terminal = try PseudoTerminal(isRaw: true)
    terminal.line.withDescriptor { line in
      let read = EmptyRead.endOfTerminal(TerminalModes(line.rawValue))
      PseudoTerminal.change(line.rawValue) { $0.c_lflag |= tcflag_t(ICANON) }
      #expect(read.attempt(line.rawValue) { 0 } == .endOfStream)
    }
  }

  // MARK: Others

  @Test func `line 12: an event counter and a directory are no streams, and refused`() throws {
    let number = swsys_eventfd()
    let counter = blockingError { try SocketReader(adopting: number) }
    #expect(counter?.reason == .transport(TransportError(.adopt, .invalidArgument)))
    #expect(swsys_eventfd_signal(number) == 8, "it is still the caller's")
    #expect(swsys_close(number) == 0)
    let directory = blockingError { try SocketReader(adopting: try open(FilePath("/"), .readOnly)) }
    #expect(directory?.reason == .transport(TransportError(.adopt, .isDirectory)))
  }
}
