import CSysShim
import CSysTestSupport
import Foundation
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage

/// Answers one question about a process that does nothing else. Prints `name=value` lines; the tests
/// that start it know what they should be.
@main
struct Probe {
  /// Not asynchronous, or Dispatch would have its hands in everything.
  static func main() throws {
    switch CommandLine.arguments.dropFirst().first {
    case "emfile": return emfile()
    case "threads": return try threads()
    case "standard-free": return try standardFree()
    // A program adopts its standard streams before anything else runs. Dispatch opens files of its own: if a stream
    // is closed, one of them could have its number.
    case "capitals":
      return try capitals(CommandLine.arguments[2], isStaged: CommandLine.arguments.last == "staged")
    case "frames":
      guard CommandLine.arguments.count == 5, let sender = UInt8(CommandLine.arguments[2]),
        let count = Int(CommandLine.arguments[3])
      else { exit(2) }
      return try frames(sender, count, CommandLine.arguments[4])
    case "read-on":
      guard CommandLine.arguments.count == 5, let count = Int(CommandLine.arguments[3]) else { exit(2) }
      return try readOn(mode: CommandLine.arguments[2], count, unread: CommandLine.arguments[4])
    case "publish": return try publish()
    case "modes": return try modes()
    case "accept-limit": return try acceptLimit()
    case "activated": return try activated(CommandLine.arguments[2])
    case "pass-sockets":
      let kind = CommandLine.arguments[2] == "packets" ? ConnectionKind.packets : .stream
      return try passSockets(kind, then: CommandLine.arguments[3])
    case "take-sockets": return try takeSockets(CommandLine.arguments[2])
    case "greet": return try greet(CommandLine.arguments[2])
    case "intrude": return try intrude(CommandLine.arguments[2])
    case "crowd": return try crowd(CommandLine.arguments[2], Int(CommandLine.arguments[3]) ?? 1)
    case "spawn-while-accepting": return try spawnWhileAccepting()
    case "hold": return try hold(CommandLine.arguments[2], Int(CommandLine.arguments[3]) ?? 1)
    case "unremovable": return try unremovable(CommandLine.arguments[2])
    case "admit": return try admit(CommandLine.arguments[2], CommandLine.arguments[3])
    case "replace": return replace(CommandLine.arguments[2], Int(CommandLine.arguments[3]) ?? 0)
    // Counted by a program that a second thread, and the reset of the peak of memory, would lead astray.
    case "pickle-work":
      guard CommandLine.arguments.count == 4, let count = Int(CommandLine.arguments[3]) else { exit(2) }
      return pickleWork(CommandLine.arguments[2], count)
    default: inTask(answer)
    }
  }

  /// Runs the body in a task, and ends the process with it.
  static func inTask(_ body: @escaping @Sendable () async throws -> Void) -> Never {
    Task {
      do {
        try await body()
        exit(0)
      } catch {
        fatalError("\(error)")
      }
    }
    dispatchMain()
  }

  private static func answer() async throws {
    switch CommandLine.arguments.dropFirst().first {
    case "idle": try await idle()
    case "sigpipe": try sigpipe()
    case "memory": try memory(CommandLine.arguments.dropFirst(2).first.flatMap { Int($0) } ?? 1)
    case "msgpack-memory":
      guard CommandLine.arguments.count == 5, let count = Int(CommandLine.arguments[4]) else { exit(2) }
      try msgPackMemory(CommandLine.arguments[2], reader: CommandLine.arguments[3], count)
    case "pickle-cost":
      guard CommandLine.arguments.count == 4, let count = Int(CommandLine.arguments[3]) else { exit(2) }
      try pickleCost(CommandLine.arguments[2], count)
    case "pickle-shapes": for shape in pickleBombs { print(shape) }
    case "echo-pickles":
      guard let number = CommandLine.arguments.last.flatMap({ Int32($0) }) else { exit(2) }
      try echoPickles(number)
    case "park-on-reactor": try await parkOnReactor(.reactor)
    case "park-on-messaging": try await parkOnReactor(.messaging)
    case "timed": try await timed()
    case "serve-limit": try await serveLimit()
    case "connect-full": try await connectFull()
    case "cut-off": try await cutOff()
    case "descriptors-cut": try descriptorsCut()
    case "descriptors-cut-stream": try await descriptorsCutOfStream()
    case "many-in-flight": try manyInFlight()
    case "churn": try await churn()
    case "echo-multiprocessing":
      guard CommandLine.arguments.count == 4, let number = Int32(CommandLine.arguments[3]) else { exit(2) }
      if CommandLine.arguments[2] == "async" {
        try await echoMultiprocessing(number)
      } else {
        try echoMultiprocessingBlocking(number)
      }
    default:
      print(
        """
        usage: probe threads | standard-free | idle | sigpipe | memory BYTES | emfile
                     | msgpack-memory STREAM READER BYTES | pickle-cost PICKLE BYTES | echo-pickles DESCRIPTOR
                     | park-on-reactor | park-on-messaging | timed | descriptors-cut | descriptors-cut-stream | many-in-flight | churn | read-on exact|ahead COUNT UNREAD | echo-multiprocessing async|blocking DESCRIPTOR
                     | capitals async|blocking [staged] | frames SENDER COUNT async|blocking
                     | publish | modes | accept-limit | serve-limit | activated NAME | pass-sockets stream|packets all|b-first | greet ADDRESS | unremovable DIRECTORY | replace PATH REFUSALS | admit NAME POLICY
                     | intrude PATH | crowd ADDRESS COUNT | hold ADDRESS COUNT | spawn-while-accepting | connect-full | cut-off
        """
      )
      exit(2)
    }
  }

  /// A program without standard streams receives descriptors: none of them takes the number of one.
  private static func standardFree() throws {
    let output = swsys_duplicate(1, 100)
    let (left, right) = try makeSocketPair(.unixDatagrams)
    right.maximumDescriptors = 3
    let number = try left.withDescriptor { $0 }
    try left.blocking.send([1], passing: [number, number, number])
    for number in 0...2 as ClosedRange<Int32> { _ = swsys_close(number) }
    let received = try right.blocking.receiveBytes()
    var numbers: [Int32] = []
    while let descriptor = received.descriptors?.take() { numbers.append(descriptor.release().rawValue) }
    let answer = "came=\(numbers.count) standard=\(numbers.count { $0 < 3 })\n"
    _ = try FileDescriptor(rawValue: output).writeAll(answer.utf8)
  }

  /// Three descriptors come where the table has room for two: the message says that they are lost, and none is left
  /// open. The thread that closes them may need one of the two for itself.
  private static func descriptorsCut() throws {
    let (left, right) = try makeSocketPair(.unixDatagrams)
    right.maximumDescriptors = 3
    let (reader, writer) = try makePipe()
    // Resources that a call may need for the first time, before there is no room for them.
    try left.blocking.send([1])
    _ = try right.blocking.receiveBytes()
    let number = try reader.withDescriptor { $0 }
    try left.blocking.send([2], passing: [number, number, number])
    try left.blocking.send([3])
    let taken = fillTable()
    for last in taken.suffix(2) { _ = swsys_close(last) }
    let received = try right.blocking.receiveBytes()
    print("bytes=\(received.bytes)")
    print("lost=\(received.lostDescriptors) came=\(received.descriptors?.count ?? 0)")
    // Another thread closes what came: with the last read end the pipe has failed.
    reader.close()
    let deadline = Deadline.after(.patience)
    while !(try writer.withDescriptor { $0.isReady(for: .failed) }), !deadline.hasPassed { sched_yield() }
    print("free=\(!deadline.hasPassed)")
    print("next=\(try right.blocking.receive())")
    withExtendedLifetime(writer) {}
  }

  /// Takes all descriptors that there are, of 64.
  private static func fillTable() -> [Int32] {
    var limit = rlimit(rlim_cur: 64, rlim_max: 64)
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    var taken: [Int32] = []
    while true {
      let copy = swsys_duplicate(0, 3)
      if copy < 0 { return taken }
      taken.append(copy)
    }
  }

  /// Of a stream of messages, one loses its descriptors because the table is full; the next one has its own.
  private static func descriptorsCutOfStream() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    right.maximumDescriptors = 3
    let number = try left.withDescriptor { $0 }
    try await left.send("0", passing: [number])
    _ = try await right.receiveMessage()
    try await left.send("1", passing: [number, number, number])
    try await left.send("2")
    try await left.send("3", passing: [number, number])
    let taken = fillTable()
    for index in 1...3 {
      let received = try await right.receiveMessage()
      let text = String(decoding: received.message, as: UTF8.self)
      print("\(text): lost=\(received.lostDescriptors) came=\(received.descriptors?.count ?? 0)")
      if index == 1 { for last in taken.suffix(8) { _ = swsys_close(last) } }
    }
  }

  /// More descriptors are under way than the kernel allows to a user: sending waits until some have arrived.
  private static func manyInFlight() throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    right.maximumDescriptors = 1
    let number = try left.withDescriptor { $0 }
    var limit = rlimit(rlim_cur: 32, rlim_max: 32)
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    var sent = 0
    do throws(EndpointError) {
      while sent < 200 {
        try left.blocking.send("\(sent)", passing: [number], timeout: .milliseconds(50))
        sent += 1
      }
      print("waits=false")
    } catch {
      print("waits=\(error.reason == .timedOut && !error.isCommitted && (1...40).contains(sent))")
    }
    let first = sent
    let sending = TestThread {
      for index in first..<200 {
        try left.blocking.send("\(index)", passing: [number], timeout: .patience)
      }
    }
    var whole = 0
    for index in 0..<200 {
      let received = try right.blocking.receiveMessage(timeout: .patience)
      let isWhole = received.message == Array("\(index)".utf8) && received.descriptors?.count == 1
      if isWhole { whole += 1 }
      // Closed here, because another thread may need more time than the next ones take to come.
      _ = received.descriptors?.take()
    }
    try sending.join()
    print("whole=\(whole)")
  }

  /// Takes up at standard input where another process has stopped, and stops again.
  private static func readOn(mode: String, _ count: Int, unread: String) throws {
    let bytes = Data(base64Encoded: unread).map { Array($0) } ?? []
    let reader = try MessageReader(
      adopting: 0, unread: bytes, framing: .varInt, mode: mode == "exact" ? .exact : .readAhead)
    for _ in 0..<count { print("message=\(String(decoding: try reader.blocking.receive(), as: UTF8.self))") }
    let detached = try reader.detach()
    print("unread=\(Data(detached.unread).base64EncodedString())")
  }

  /// A program that only ever blocks has no thread but its own.
  private static func threads() throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let (reader, writer) = try makePipe(framing: .varInt)
    try left.blocking.send("one")
    _ = try right.blocking.receive(timeout: .seconds(5))
    try writer.blocking.send(contentsOf: [[1], [2]] as [[UInt8]])
    _ = try reader.blocking.receive()
    _ = try? left.blocking.receive(timeout: .milliseconds(5))
    try writer.blocking.close(drainingFor: .seconds(1))
    left.close()
    print("threads=\(swsys_thread_count())")
  }

  /// Endpoints with parked tasks and a parked thread take no processor time.
  private static func idle() async throws {
    var pairs: [(MessageDuplex<VarIntFraming>, MessageDuplex<VarIntFraming>)] = []
    for _ in 0..<200 { pairs.append(try makeSocketPair(framing: .varInt)) }
    let waiting = pairs.map { pair in Task { try await pair.0.receive() } }
    await eventually {
      pairs.allSatisfy { $0.0.core.receiving?.inspect { $0.waiterCount == 1 } ?? false }
    }
    let before = processorMicroseconds()
    let (reader, writer) = try makePipe(framing: .varInt)
    let thread = TestThread { _ = try? reader.blocking.receive(timeout: .seconds(1)) }
    try await thread.value
    print("idle-microseconds=\(processorMicroseconds() - before)")
    for task in waiting { task.cancel() }
    withExtendedLifetime(writer) {}
  }

  /// The processor time of this process: `clock` counts in millionths of a second, on every POSIX system.
  private static func processorMicroseconds() -> Int { Int(clock()) }

  /// Writing to a closed peer, with the default disposition, on every branch.
  private static func sigpipe() throws {
    let all = [
      KernelFeatures(nowaitPipes: true, nosignalPipes: true),
      KernelFeatures(nowaitPipes: true, nosignalPipes: false),
      KernelFeatures(nowaitPipes: false, nosignalPipes: false),
      KernelFeatures(nowaitPipes: false, nosignalPipes: false, reopens: false),
    ]
    signal(SIGPIPE, SIG_DFL)
    for features in all {
      let (reader, writer) = try KernelFeatures.$override.withValue(features) {
        try makePipe(framing: .varInt)
      }
      reader.close()
      var text = "sent"
      do { try writer.blocking.send("into nothing") } catch { text = "\(error.reason)" }
      print("pipe=\(text)")
    }
    for kind in [SocketPairKind.unix, .tcp] {
      let (left, right) = try makeSocketPair(kind, framing: .varInt)
      right.close()
      var text = "sent"
      for _ in 0..<1000 where text == "sent" {
        do { try left.blocking.send("into nothing") } catch { text = "\(error.reason)" }
      }
      print("socket=\(text)")
    }
    var action = sigaction()
    _ = unsafe sigaction(SIGPIPE, nil, &action)
    let isDefault = unsafe action.__sigaction_handler.sa_handler == nil
    var pending = sigset_t()
    _ = unsafe sigpending(&pending)
    var mask = sigset_t()
    _ = unsafe pthread_sigmask(SIG_BLOCK, nil, &mask)
    print("default=\(isDefault)")
    print("pending=\(unsafe sigismember(&pending, SIGPIPE))")
    print("blocked=\(unsafe sigismember(&mask, SIGPIPE))")
  }

  /// The peak memory of receiving one message, in percent of the message.
  private static func memory(_ byteCount: Int) throws {
    let (raw, writer) = try makeSocketPair()
    let reader = MessageDuplex(over: raw)
    let chunk = [UInt8](repeating: 7, count: 65_536)
    try writer.blocking.send(Array(repeating: 1, count: 5))
    _ = try raw.blocking.receive(exactly: 5)
    let before = peakKilobytes()
    let sending = TestThread {
      var header: [UInt8] = [0xFE]
      for shift in stride(from: 48, through: 0, by: -8) { header.append(UInt8((byteCount >> shift) & 0xFF)) }
      try writer.blocking.send(header)
      var rest = byteCount
      while rest > 0 { rest -= try writer.blocking.send(chunk.prefix(rest)) }
    }
    let message = try reader.blocking.receive()
    try sending.join()
    precondition(message.count == byteCount && message[byteCount - 1] == 7, "it arrived")
    print("percent=\((peakKilobytes() - before) * 1024 * 100 / byteCount)")
  }

  static func peakKilobytes() -> Int { status("VmHWM:") }

  /// A line of this process's status, in kilobytes.
  static func status(_ name: String) -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    for line in status.split(separator: "\n") where line.hasPrefix(name) {
      return Int(line.filter(\.isNumber)) ?? 0
    }
    return 0
  }

  /// Waiting works when no descriptor is left: for a thread, and for a task that is the first to wait.
  ///
  /// Dispatch, which runs tasks elsewhere, traps without: its manager makes a timer some time after the first
  /// task has begun, and opens a file for each worker thread once a second. So there is none of it here.
  private static func emfile() {
    var limit = rlimit(rlim_cur: 256, rlim_max: 256)
    _ = unsafe setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
    let isDone = Gate()
    do {
      let ends = (try makeSocketPair(framing: .varInt), try makeSocketPair(framing: .varInt))
      let hoard = Hoard()
      Task(executorPreference: .reactor) {
        do {
          try await waitWithoutDescriptors(ends.0, ends.1, hoard)
        } catch {
          print("error=\(error)")
        }
        isDone.open()
      }
    } catch {
      return print("error=\(error)")
    }
    isDone.waitBlocking()
  }

  private typealias Ends = (MessageDuplex<VarIntFraming>, MessageDuplex<VarIntFraming>)

  private nonisolated static func waitWithoutDescriptors(
    _ ends: Ends, _ blockingEnds: Ends, _ hoard: Hoard
  ) async throws {
    let (left, right) = ends
    let (blockingLeft, blockingRight) = blockingEnds
    let task = Task(executorPreference: .reactor) { try await left.receive() }
    let thread = TestThread { try blockingLeft.blocking.receive() }
    await eventually {
      left.core.receiving?.inspect { $0.waiterCount == 1 } ?? false
        && blockingLeft.core.receiving?.inspect { $0.waiterCount == 1 } ?? false
    }
    try await right.send("task")
    try await blockingRight.send("thread")
    print("task=\(String(decoding: try await task.value, as: UTF8.self))")
    print("thread=\(String(decoding: try await thread.value, as: UTF8.self))")
    let late = try? await left.receive(timeout: .milliseconds(20))
    print("late=\(late == nil)")
    hoard.release()
    let again = Task(executorPreference: .reactor) { try await left.receive() }
    try await right.send("again")
    print("again=\(String(decoding: try await again.value, as: UTF8.self))")
  }

  /// All descriptors that there are.
  private final class Hoard: Sendable {
    private let pairs: Guarded<[DescriptorHolder]>

    init() {
      var all: [DescriptorHolder] = []
      while let holder = try? DescriptorHolder() { all.append(holder) }
      pairs = Guarded(all)
    }

    func release() { pairs.withLock { $0 = [] } }
  }

  private final class DescriptorHolder: Sendable {
    let pair: DescriptorPair
    init() throws { pair = try DescriptorPair.pipe() }
  }

  /// A task that waits with a deadline is told of what comes, and costs nothing meanwhile; in a sandbox that refuses
  /// `epoll_pwait2` with the error that a filter gives that does not know the call.
  private static func timed() async throws {
    guard swsys_refuse_timed_epoll() == 0 else { return print("filter=none") }
    let (left, right) = try makeSocketPair(framing: .varInt)
    func used() async -> UInt64 {
      await Task(executorPreference: .reactor) { @concurrent in swsys_thread_cpu() }.value
    }
    let before = await used()
    _ = try? await left.receive(timeout: .seconds(1))
    print("reactor-milliseconds=\((await used() - before) / 1_000_000)")
    let receiving = Task { try await left.receive(timeout: .seconds(3)) }
    await eventually { left.core.receiving?.inspect { $0.waiterCount == 1 } ?? false }
    let start = ContinuousClock.now
    try await right.send("in time")
    let message = (try? await receiving.value).map { String(decoding: $0, as: UTF8.self) }
    print("message=\(message ?? "none")")
    print("after-milliseconds=\((ContinuousClock.now - start) / .milliseconds(1))")
  }

  /// Has to trap.
  private static func parkOnReactor(_ executor: any TaskExecutor) async throws {
    let (reader, writer) = try makePipe(framing: .varInt)
    // At once: a buffer would be lost.
    try FileDescriptor.standardOutput.writeAll("parking=true\n".utf8)
    func park() throws { _ = try reader.blocking.receive(timeout: .seconds(5)) }
    try await withTaskExecutorPreference(executor) { try park() }
    withExtendedLifetime(writer) {}
    print("survived=true")
  }

  /// The child of a Python process that made a `multiprocessing.Pipe()`: sends each message back, until the
  /// end.
  private static func echoMultiprocessing(_ number: Int32) async throws {
    let parent = try MessageDuplex(
      adopting: number, framing: .multiprocessingBytes, maximumFrameSize: 1 << 32)
    for try await message in parent.messages { try await parent.send(message) }
  }

  private static func echoMultiprocessingBlocking(_ number: Int32) throws {
    let parent = try MessageDuplex(
      adopting: number, framing: .multiprocessingBytes, maximumFrameSize: 1 << 32)
    while let message = try parent.blocking.next() { try parent.blocking.send(message) }
  }
}
