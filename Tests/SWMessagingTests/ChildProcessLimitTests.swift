import CSysShim
import CSysTestSupport
import Foundation
import SWTesting
import Synchronization
import SystemPackage
import Testing

@testable import SWMessaging

#if canImport(Glibc)
  import Glibc
#endif

/// Where children cannot be had, or not so many at once: filters of system calls, limits on descriptors and threads.
@Suite struct ChildProcessLimitTests {
  private static let pidfdFlag: UInt32 = 0x1000

  /// The error of a spawn whose child would leave a file behind.
  private static func refusal() async -> EndpointError? {
    let path = FileManager.default.temporaryDirectory.appending(path: "sw-\(UUID().uuidString.prefix(8))")
      .path
    let before = libraryDescriptors()
    let error = await endpointError {
      try await ChildProcess.spawn("touch", arguments: [path], framing: .varInt)
    }
    #expect(!FileManager.default.fileExists(atPath: path), "nothing runs")
    #expect(libraryDescriptors() == before)
    #expect(hasNoChildren())
    return error
  }

  // MARK: Filters of system calls

  @Test func `where a pidfd may not be signalled no child is made, and the error says why`() async {
    await #expect(processExitsWith: .success) {
      #expect(swsys_forbid(Int32(SWSYS_CALL_PIDFD_SEND_SIGNAL), 0) == 0)
      let error = await Self.refusal()
      #expect(error?.reason == .transport(TransportError(.spawn, .notPermitted)))
      #expect(error?.explanation.contains("pidfd") ?? false)
    }
  }

  @Test func `where a pidfd may not be waited for no child is made`() async {
    await #expect(processExitsWith: .success) {
      // A kind of 3, which shares a bit with that of groups alone.
      #expect(swsys_forbid(Int32(SWSYS_CALL_WAITID), 2) == 0)
      let error = await Self.refusal()
      #expect(error?.reason == .transport(TransportError(.spawn, .notPermitted)))
    }
  }

  @Test func `where a process may not be made with a pidfd no child is made`() async {
    await #expect(processExitsWith: .success) {
      #expect(swsys_forbid(Int32(SWSYS_CALL_CLONE), Self.pidfdFlag) == 0)
      let error = await Self.refusal()
      #expect(error?.reason == .transport(TransportError(.spawn, .notPermitted)))
      #expect(error?.explanation.contains("no process") ?? false)
    }
  }

  @Test func `a filter against pidfd_open concerns no child`() async {
    await #expect(processExitsWith: .success) {
      #expect(swsys_forbid(Int32(SWSYS_CALL_PIDFD_OPEN), 0) == 0)
      let child = try await ChildProcess.spawn("cat", channel: .standardStreams, framing: .varInt)
      try child.terminate()
      #expect(try await child.exitStatus == .signalled(.terminate))
    }
  }

  // At the end of a process the leak sanitizer opens a directory itself.
  @Test(.enabled(if: !isSanitized))
  func `descriptors are closed in the child where close_range is unknown, or /proc is not there`() async {
    await #expect(processExitsWith: .success) {
      var open: [FileDescriptor] = []
      for _ in 0..<10 { open.append(try FileDescriptor.open(FilePath("/dev/null"), .readWrite)) }
      for number in [200, 700] as [Int32] {
        open.append(FileDescriptor(rawValue: dup2(open[0].rawValue, number)))
      }
      #expect(swsys_forbid(Int32(SWSYS_CALL_CLOSE_RANGE), 0) == 0)
      var command = Command("ls", arguments: ["/proc/self/fd"])
      command.descriptors = [8: open[0]]
      #expect(Set(try await command.run().outputText.split(separator: "\n")) == ["0", "1", "2", "3", "8"])
      // Directories are opened with this flag, and nothing else.
      #expect(swsys_forbid_argument(Int32(SWSYS_CALL_OPENAT), 2, UInt32(O_DIRECTORY)) == 0)
      command = Command(
        "sh",
        arguments: [
          "-c",
          "n=0; while [ $n -lt 1000 ]; do if [ -e /proc/self/fd/$n ]; then echo $n; fi; n=$((n+1)); done",
        ])
      command.descriptors = [8: open[0]]
      #expect(Set(try await command.run().outputText.split(separator: "\n")) == ["0", "1", "2", "8"])
      withExtendedLifetime(open) {}
    }
  }

  @Test func `a thread that cannot be made is an error of the spawn, and leaves nothing`() async {
    await #expect(processExitsWith: .success) {
      let before = libraryDescriptors()
      for command in [Command("true"), Command("/nowhere")] {
        let error = await SpawnThreads.$refusal.withValue(.resourceTemporarilyUnavailable) {
          await endpointError { try await command.spawn(framing: .varInt) }
        }
        #expect(error?.reason == .transport(TransportError(.spawn, .resourceTemporarilyUnavailable)))
        #expect(error?.explanation.contains("no thread") ?? false)
      }
      let error = try await TestThread {
        SpawnThreads.$refusal.withValue(.resourceTemporarilyUnavailable) {
          blockingError { try Command("sleep", arguments: ["600"]).blocking.run(ending: []) }
        }
      }.value
      #expect(error?.reason == .transport(TransportError(.offload, .resourceTemporarilyUnavailable)))
      await eventually { hasNoChildren() && libraryDescriptors() == before }
      // And later there are threads again.
      #expect(try await Command("true").spawn().exitStatus == .exited(0))
    }
  }

  // MARK: Descriptors

  @Test func `at the limit of descriptors a spawn fails, leaves none, and has run nothing`() async {
    await #expect(processExitsWith: .success) {
      // Of the reactor, and of the runtime.
      _ = try await Command("true").spawn().exitStatus
      await eventually { pidfds().isEmpty }
      let names = openDescriptors()
      // A channel takes two, a child's pidfd one; a thread of Dispatch may take one at any time.
      var failures = 0
      var successes = 0
      let file = FileManager.default.temporaryDirectory.appending(path: "sw-\(UUID().uuidString.prefix(8))")
      for room in 0..<5 {
        var filled: [FileDescriptor] = []
        let highest = try await TestThread { () -> EndpointError? in
          var limit = rlimit()
          _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
          let before = limit
          limit.rlim_cur = 256
          _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
          defer { _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), [before]) }
          var mine: [FileDescriptor] = []
          while let one = try? FileDescriptor.open(FilePath("/dev/null"), .readOnly) { mine.append(one) }
          for _ in 0..<room { try mine.removeLast().close() }
          defer { for one in mine { try? one.close() } }
          do throws(EndpointError) {
            let child = try Command("touch", arguments: [file.path]).blocking.spawn(framing: .varInt)
            _ = try child.blocking.waitForExit()
            return nil
          } catch {
            return error
          }
        }.value
        filled.removeAll()
        guard let error = highest else {
          successes += 1
          continue
        }
        failures += 1
        guard case .transport(let failure) = error.reason else {
          Issue.record("\(error)")
          continue
        }
        #expect(failure.errno == .tooManyOpenFiles, "\(error)")
        #expect(successes > 0 || !FileManager.default.fileExists(atPath: file.path), "nothing has run")
      }
      try? FileManager.default.removeItem(at: file)
      #expect(failures >= 2 && successes >= 1, "\(failures), \(successes)")
      #expect(hasNoChildren())
      #expect(await comesTrue { openDescriptors().count <= names.count + 4 })
    }
  }

  // MARK: Threads

  @Test func `a few threads spawn, however many spawns there are, and queued ones end in time`()
    async throws
  {
    let (gate, count) = (Gate(), EntryCount())
    let body: @Sendable () -> Void = {
      count.enter()
      gate.waitBlocking()
      count.leave()
    }
    let tasks = (0..<500).map { _ in
      Task { try await SpawnThreads.run { () throws(EndpointError) in body() } }
    }
    await eventually { count.now == SpawnThreads.limit }
    let late = (0..<10).map { _ in
      Task { try await SpawnThreads.run { () throws(EndpointError) in Issue.record("it was cancelled") } }
    }
    for task in late { task.cancel() }
    for task in late { #expect(await endpointError { try await task.value }?.reason == .cancelled) }
    let overdue = await endpointError { try await Command("true").run(timeout: .milliseconds(20)) }
    #expect(overdue?.reason == .timedOut)
    gate.open()
    for task in tasks { try await task.value }
    #expect(count.most == SpawnThreads.limit)
    #expect(count.all == 500)
  }

  @Test func `a spawn that is over keeps nothing, although others wait`() async throws {
    let (gates, count, isGone) = ((0...SpawnThreads.limit).map { _ in Gate() }, EntryCount(), Flag())
    func held(by gate: Gate) -> Task<Void, any Error> {
      Task {
        try await SpawnThreads.run { () throws(EndpointError) in
          count.enter()
          gate.waitBlocking()
        }
      }
    }
    var tasks = gates.dropLast().map(held)
    await eventually { count.all == SpawnThreads.limit }
    let spawn = { [witness = Witness(isGone)] in
      Task { try await SpawnThreads.run { () throws(EndpointError) in withExtendedLifetime(witness) {} } }
    }()
    await eventually { SpawnThreads.queueLength == 1 }
    for length in 2...3 {
      tasks.append(held(by: gates[SpawnThreads.limit]))
      await eventually { SpawnThreads.queueLength == length }
    }
    gates[0].open()
    try await spawn.value
    await eventually { count.all == SpawnThreads.limit + 1 }
    #expect(SpawnThreads.queueLength == 1)
    #expect(await comesTrue { isGone.isUp })
    for gate in gates.dropFirst() { gate.open() }
    for task in tasks { try await task.value }
  }

  @Test func `2,000 spawns at once are 2,000 children, and few threads`() async {
    await #expect(processExitsWith: .success) {
      let isOver = Flag()
      let watcher = TestThread {
        var most: Int32 = 0
        while !isOver.isUp {
          most = max(most, swsys_thread_count())
          sched_yield()
        }
        return most
      }
      try await withThrowingTaskGroup(of: TerminationStatus.self) { group in
        for _ in 0..<stressed(2000) { group.addTask { try await Command("true").spawn().exitStatus } }
        for try await status in group { #expect(status == .exited(0)) }
      }
      isOver.raise()
      let most = try await watcher.value
      #expect(most < 40, "\(most)")
      await eventually { hasNoChildren() && pidfds().isEmpty }
    }
  }

  // MARK: The reactor

  @Test func `a child that ended unseen, because epoll would not watch it, is reaped later`() async {
    await #expect(processExitsWith: .success) {
      let (left, right) = try makeSocketPair(framing: .varInt)
      _ = try? await left.receive(timeout: .milliseconds(1))
      let epoll = try #require(
        (3..<64 as Range<Int32>).first { number in
          (try? String(contentsOfFile: "/proc/self/fdinfo/\(number)", encoding: .utf8))?
            .contains("data: ffffffffffffffff") ?? false
        })
      let kept = dup(epoll)
      #expect(swsys_replace_with_null(epoll) == 0)
      var command = Command("cat")
      command.standardInput = .endpoint
      let child = try await command.spawn()
      let pid = child.processID
      #expect(dup2(kept, epoll) == epoll)
      try child.kill()
      #expect(await comesTrue(within: .seconds(60)) { kill(pid, 0) != 0 }, "it is a zombie")
      #expect(try await child.exitStatus == .signalled(.kill))
      withExtendedLifetime((left, right)) {}
    }
  }
}

/// How many are in a section, how many have been at most, and in all.
private final class EntryCount: Sendable {
  private let counts = Guarded((now: 0, most: 0, all: 0))

  var now: Int { counts.withLock { $0.now } }
  var most: Int { counts.withLock { $0.most } }
  var all: Int { counts.withLock { $0.all } }

  func enter() {
    counts.withLock { counts in
      counts.now += 1
      counts.all += 1
      counts.most = max(counts.most, counts.now)
    }
  }

  func leave() { counts.withLock { $0.now -= 1 } }
}

private final class Witness: Sendable {
  private let isGone: Flag
  init(_ isGone: Flag) { self.isGone = isGone }
  deinit { isGone.raise() }
}

private final class Flag: Sendable {
  private let value = Guarded(false)
  var isUp: Bool { value.withLock { $0 } }
  func raise() { value.withLock { $0 = true } }
}
