import CSysShim
import CSysTestSupport
import Glibc
import SWIO
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Both pollers of a reactor.
@Suite(.lastResort, .leavesNothing) struct PollerTests {
  enum Form: String, CaseIterable, Sendable {
    case epoll, poll

    func make() throws -> any Poller {
      switch self {
      case .epoll: try EpollPoller()
      case .poll: PollPoller()
      }
    }
  }

  private func close(_ descriptor: consuming OwnedDescriptor) {}

  /// The events of a key, over as many waits as it takes until there is one, or none came for a while.
  private func told(_ poller: any Poller, _ key: UInt64, waits: Int = 4) -> Readiness {
    var readiness: Readiness = []
    for _ in 0..<waits where readiness.isEmpty {
      var events: [PollerEvent] = []
      poller.wait(until: .after(.milliseconds(20)), into: &events)
      for event in events where event.key == key { readiness.formUnion(event.readiness) }
    }
    return readiness
  }

  @Test(arguments: Form.allCases) func `readiness is told when it is there, and anew when more comes`(
    _ form: Form
  ) throws {
    let poller = try form.make()
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { $0.rawValue }
    #expect(poller.add(number, key: 7, watching: .readable) == .watched)
    #expect(told(poller, 7) == [])
    for byte in 1...3 as ClosedRange<UInt8> {
      _ = try pair.second.withDescriptor { try $0.writeAll([byte]) }
      #expect(told(poller, 7) == .readable)
      try pair.first.withDescriptor { descriptor in
        _ = try unsafe withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { memory in
          try unsafe descriptor.read(into: memory)
        }
      }
      #expect(told(poller, 7) == [])
    }
    poller.remove(number, key: 7)
  }

  @Test(arguments: Form.allCases) func `a wake before a wait ends it`(_ form: Form) throws {
    let poller = try form.make()
    var events: [PollerEvent] = []
    for _ in 0..<3 {
      poller.wake()
      // The test's time is over long before.
      poller.wait(until: .after(.seconds(36_000)), into: &events)
      #expect(events.isEmpty)
    }
  }

  /// No transport takes these, but a transport of the user's may, and the end of a child is one.
  @Test(arguments: Form.allCases) func `an event counter and a process are watched`(_ form: Form) throws {
    let poller = try form.make()
    let (counter, process) = (swsys_eventfd(), swsys_pidfd_open(getpid()))
    #expect(poller.add(counter, key: 1, watching: .readable) == .watched)
    #expect(poller.add(process, key: 2, watching: .readable) == .watched)
    #expect(told(poller, 1) == [])
    #expect(swsys_eventfd_signal(counter) == 8)
    #expect(told(poller, 1) == .readable)
    for (number, key) in [(counter, 1), (process, 2)] as [(Int32, UInt64)] {
      poller.remove(number, key: key)
      _ = swsys_close(number)
    }
    #expect(poller.add(counter, key: 1, watching: .readable) == .failed(.badFileDescriptor))
  }

  @Test(arguments: Form.allCases) func `a look waits for nothing, and says whether it has found anything`(
    _ form: Form
  ) throws {
    let poller = try form.make()
    let bell = try Bell()
    var events: [PollerEvent] = []
    #expect(poller.add(bell.reading, key: 5, watching: .readable) == .watched)
    #expect(!poller.look(into: &events) && events.isEmpty)
    bell.ring()
    #expect(poller.look(into: &events) && events.map(\.key) == [5])
    poller.remove(bell.reading, key: 5)
  }

  @Test(arguments: Form.allCases) func `a change of interest tells what is there already`(_ form: Form) throws
  {
    let poller = try form.make()
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { $0.rawValue }
    #expect(poller.add(number, key: 7, watching: []) == .watched)
    #expect(told(poller, 7) == [])
    #expect(poller.modify(number, key: 7, watching: .writable) == nil)
    #expect(told(poller, 7) == .writable)
    _ = try pair.second.withDescriptor { try $0.writeAll([1]) }
    #expect(poller.modify(number, key: 7, watching: [.readable, .writable]) == nil)
    #expect(told(poller, 7) == [.readable, .writable])
    poller.remove(number, key: 7)
    #expect(told(poller, 7, waits: 1) == [])
  }

  @Test(arguments: Form.allCases) func `the ends of reading and of writing and errors are told apart`(
    _ form: Form
  ) throws {
    let poller = try form.make()
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { $0.rawValue }
    #expect(poller.add(number, key: 7, watching: .readable) == .watched)
    _ = pair.second.withDescriptor { shutdown($0.rawValue, Int32(SHUT_WR)) }
    #expect(told(poller, 7) == [.readable, .readClosed])
    close(pair.second)
    #expect(poller.modify(number, key: 7, watching: [.readable, .writable]) == nil)
    #expect(told(poller, 7).isSuperset(of: [.readClosed, .writeClosed]))
    poller.remove(number, key: 7)

    let pipe = try DescriptorPair.pipe()
    let writing = pipe.second.withDescriptor { $0.rawValue }
    #expect(poller.add(writing, key: 8, watching: .writable) == .watched)
    close(pipe.first)
    var readiness = told(poller, 8)
    if !readiness.contains(.failed) { readiness = told(poller, 8) }
    #expect(readiness.contains(.failed))
    poller.remove(writing, key: 8)
  }

  /// One that has hung up and is watched for nothing else must not end each wait.
  @Test(arguments: Form.allCases) func `a hang-up is told to who watches for nothing, and not for ever`(
    _ form: Form
  ) throws {
    let poller = try form.make()
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { $0.rawValue }
    #expect(poller.add(number, key: 7, watching: []) == .watched)
    close(pair.second)
    #expect(told(poller, 7).contains(.writeClosed))
    #expect(told(poller, 7, waits: 3) == [])
    poller.remove(number, key: 7)
  }

  @Test(arguments: Form.allCases) func `what never blocks is not watched, and what is not open is an error`(
    _ form: Form
  ) throws {
    let poller = try form.make()
    let file = try FileDescriptor.open(FilePath("/proc/self/exe"), .readOnly)
    #expect(poller.add(file.rawValue, key: 1, watching: .readable) == .alwaysReady)
    let folder = try FileDescriptor.open(FilePath("/"), .readOnly)
    #expect(poller.add(folder.rawValue, key: 2, watching: .readable) == .alwaysReady)
    try folder.close()
    try file.close()
    guard case .failed = poller.add(1_000_000, key: 2, watching: .readable) else {
      Issue.record("there is no such descriptor")
      return
    }
  }

  @Test(arguments: Form.allCases) func `a wake ends the wait, also one that comes before it`(_ form: Form)
    async throws
  {
    let poller = try form.make()
    poller.wake()
    var events: [PollerEvent] = []
    poller.wait(until: .after(.patience), into: &events)
    let waiting = TestThread {
      var events: [PollerEvent] = []
      poller.wait(until: .after(.patience), into: &events)
      return events.count
    }
    poller.wake()
    #expect(try await waiting.value == 0)
    poller.wait(until: .after(.milliseconds(1)), into: &events)
    #expect(events.isEmpty)
  }

  @Test(arguments: Form.allCases) func `what is added during a wait is seen by it`(_ form: Form) async throws
  {
    let poller = try form.make()
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { $0.rawValue }
    let waiting = TestThread { () -> Readiness in
      while true {
        var events: [PollerEvent] = []
        poller.wait(until: .never, into: &events)
        if let event = events.first { return event.readiness }
      }
    }
    #expect(poller.add(number, key: 7, watching: .writable) == .watched)
    #expect(try await waiting.value == .writable)
    poller.remove(number, key: 7)
  }

  // MARK: A wait that has begun

  /// A thread that waits, and sleeps in the kernel.
  private struct Sleeper {
    private let thread: TestThread<[PollerEvent]>
    private let id = Shared<Int32?>(nil)

    init(_ poller: any Poller, until deadline: Deadline = .never) async {
      thread = TestThread { [id] in
        id.set(swsys_thread_id())
        var events: [PollerEvent] = []
        poller.wait(until: deadline, into: &events)
        return events
      }
      await eventually { [id] in id.value.map { swsys_thread_sleeps($0) } ?? false }
    }

    var events: [PollerEvent] { get async throws { try await thread.value } }
  }

  private final class Shared<Value: Sendable>: Sendable {
    private let state: Guarded<Value>
    init(_ value: Value) { state = Guarded(value) }
    var value: Value { state.withLock { $0 } }
    func set(_ value: Value) { state.withLock { $0 = value } }
  }

  /// A pipe whose reading end is ready as long as it has been rung, and whose writing end always is.
  private struct Bell: ~Copyable {
    private let pair: DescriptorPair
    init() throws { pair = try DescriptorPair.pipe() }
    var reading: Int32 { pair.first.withDescriptor { $0.rawValue } }
    var writing: Int32 { pair.second.withDescriptor { $0.rawValue } }
    func ring() { #expect(unsafe write(writing, [7] as [UInt8], 1) == 1) }
    func silence() {
      var byte: UInt8 = 0
      #expect(unsafe read(reading, &byte, 1) == 1)
    }
  }

  /// How long a wait takes at least, which is for nothing.
  private static func duration(_ poller: any Poller, _ milliseconds: UInt64) -> UInt64 {
    let start = swsys_now()
    var events: [PollerEvent] = []
    poller.wait(until: Deadline(nanoseconds: start + milliseconds * 1_000_000), into: &events)
    #expect(events.isEmpty)
    return (swsys_now() - start) / 1_000_000
  }

  @Test(arguments: Form.allCases) func `one wake ends a wait that sleeps, and no other one`(_ form: Form)
    async throws
  {
    let poller = try form.make()
    for _ in 0..<3 {
      let sleeper = await Sleeper(poller)
      poller.wake()
      #expect(try await sleeper.events.isEmpty)
      #expect(Self.duration(poller, 5) >= 5)
    }
    // One that comes before the wait, and another with it.
    poller.wake()
    poller.wake()
    var events: [PollerEvent] = []
    poller.wait(until: .never, into: &events)
    #expect(events.isEmpty)
    #expect(Self.duration(poller, 5) >= 5)
  }

  @Test(arguments: Form.allCases) func `a wait that sleeps sees what is added, and what is changed`(
    _ form: Form
  )
    async throws
  {
    let poller = try form.make()
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { $0.rawValue }
    var sleeper = await Sleeper(poller)
    #expect(poller.add(number, key: 7, watching: .readable) == .watched)
    if form == .epoll {
      // The kernel adds without ending the wait.
      _ = try pair.second.withDescriptor { try $0.writeAll([1]) }
      #expect(try await sleeper.events.map(\.key) == [7])
    } else {
      #expect(try await sleeper.events.isEmpty)
    }
    sleeper = await Sleeper(poller)
    #expect(poller.modify(number, key: 7, watching: .writable) == nil)
    var events = try await sleeper.events
    if events.isEmpty { poller.wait(until: .never, into: &events) }
    #expect(events.map(\.key) == [7])
    #expect(events.first?.readiness == .writable)
    poller.remove(number, key: 7)
    #expect(Self.duration(poller, 5) >= 5)
  }

  @Test(arguments: Form.allCases) func `a wait ends by its deadline, and one that has passed is a look`(
    _ form: Form
  ) throws {
    let poller = try form.make()
    #expect(Self.duration(poller, 20) >= 20)
    var events: [PollerEvent] = []
    for deadline in [Deadline.immediately, .now, Deadline(nanoseconds: 1)] {
      poller.wait(until: deadline, into: &events)
    }
    #expect(events.isEmpty)
  }

  @Test(arguments: Form.allCases) func `each of many is told by its own key, also when others are gone`(
    _ form: Form
  ) throws {
    let poller = try form.make()
    let pipes = try (0..<5).map { _ in try makePipeNumbers() }
    for (key, pipe) in pipes.enumerated() {
      #expect(poller.add(pipe.reading, key: UInt64(key), watching: .readable) == .watched)
    }
    // From the middle, the last, and the first; one that is not there changes nothing.
    for gone in [1, 4, 0] {
      poller.remove(pipes[gone].reading, key: UInt64(gone))
      if form == .poll { poller.remove(pipes[gone].reading, key: UInt64(gone)) }
    }
    for key in [0, 1, 2, 4] { #expect(unsafe write(pipes[key].writing, [7] as [UInt8], 1) == 1) }
    var events: [PollerEvent] = []
    poller.wait(until: .never, into: &events)
    #expect(events.map(\.key) == [2])
    #expect(unsafe write(pipes[3].writing, [7] as [UInt8], 1) == 1)
    events = []
    while !events.contains(where: { $0.key == 3 }) { poller.wait(until: .never, into: &events) }
    #expect(events.allSatisfy { [2, 3].contains($0.key) })
    for pipe in pipes {
      _ = swsys_close(pipe.reading)
      _ = swsys_close(pipe.writing)
    }
  }

  private func makePipeNumbers() throws -> (reading: Int32, writing: Int32) {
    let pair = try DescriptorPair.pipe()
    return (pair.first.release().rawValue, pair.second.release().rawValue)
  }

  // MARK: poll(2), which tells what is ready and not what has become ready

  /// The next so many news of the only key, whenever they come.
  private func news(_ poller: PollPoller, count: Int) -> [Readiness] {
    (0..<count).map { _ in
      var events: [PollerEvent] = []
      while events.isEmpty { poller.wait(until: .never, into: &events) }
      #expect(events.count == 1)
      return events[0].readiness
    }
  }

  @Test func `what stays ready is told twice, and then more and more rarely`() throws {
    let poller = PollPoller()
    let bell = try Bell()
    #expect(poller.add(bell.writing, key: 7, watching: .writable) == .watched)
    // Counted from the beginning, no pause is ever too short.
    let start = swsys_now()
    var least: UInt64 = 0
    for milliseconds in [0, 0, 1, 2, 4, 8, 10, 10, 10] as [UInt64] {
      #expect(news(poller, count: 1) == [.writable])
      least += milliseconds
      #expect(swsys_now() - start >= least * 1_000_000)
    }
    // A change of interest starts anew: the next two come at once.
    #expect(poller.modify(bell.writing, key: 7, watching: .writable) == nil)
    var events: [PollerEvent] = []
    for _ in 0..<2 { poller.wait(until: .immediately, into: &events) }
    #expect(events.map(\.readiness) == [.writable, .writable])
    poller.remove(bell.writing, key: 7)
  }

  @Test func `what was not ready in between is told at once`() throws {
    let poller = PollPoller()
    let bell = try Bell()
    #expect(poller.add(bell.reading, key: 7, watching: .readable) == .watched)
    for _ in 0..<20 {
      bell.ring()
      var events: [PollerEvent] = []
      poller.wait(until: .immediately, into: &events)
      #expect(events.map(\.readiness) == [.readable])
      bell.silence()
      poller.wait(until: .immediately, into: &events)
      #expect(events.count == 1)
    }
    // Told, and not looked at since: the next wait looks at once, and the one after it sleeps.
    bell.ring()
    var events: [PollerEvent] = []
    poller.wait(until: .never, into: &events)
    bell.silence()
    poller.wait(until: .never, into: &events)
    #expect(events.count == 1)
    #expect(Self.duration(poller, 5) >= 5)
    poller.remove(bell.reading, key: 7)
  }

  @Test func `a hang-up is told once, again with other news, and again after a change of interest`() throws {
    let poller = PollPoller()
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { $0.rawValue }
    #expect(poller.add(number, key: 7, watching: .readable) == .watched)
    _ = pair.second.withDescriptor { shutdown($0.rawValue, Int32(SHUT_WR)) }
    // It stays readable, and so it is told again; but the poller rests in between.
    #expect(news(poller, count: 2) == [[.readable, .readClosed], [.readable, .readClosed]])
    // With nothing watched there is no news in it any more.
    #expect(poller.modify(number, key: 7, watching: []) == nil)
    #expect(Self.duration(poller, 20) >= 20)
    #expect(poller.modify(number, key: 7, watching: .readable) == nil)
    var events: [PollerEvent] = []
    poller.wait(until: .immediately, into: &events)
    #expect(events.map(\.readiness) == [[.readable, .readClosed]])
    close(pair.second)
    poller.remove(number, key: 7)
  }

  /// A pipe without a writer shows that it has hung up, and nothing that can be watched for.
  @Test func `a hang-up alone is told once, and anew to who begins to watch for something`() throws {
    let poller = PollPoller()
    let pair = try DescriptorPair.pipe()
    let number = pair.first.withDescriptor { $0.rawValue }
    #expect(poller.add(number, key: 7, watching: .readable) == .watched)
    close(pair.second)
    let hangUp: Readiness = [.readClosed, .writeClosed]
    #expect(news(poller, count: 1) == [hangUp])
    // One look more, and then it rests.
    var events: [PollerEvent] = []
    poller.wait(until: .never, into: &events)
    #expect(events.isEmpty)
    #expect(Self.duration(poller, 20) >= 20)
    #expect(poller.modify(number, key: 7, watching: []) == nil)
    poller.wait(until: .immediately, into: &events)
    #expect(events.isEmpty)
    #expect(poller.modify(number, key: 7, watching: .readable) == nil)
    poller.wait(until: .immediately, into: &events)
    #expect(events.map(\.readiness) == [hangUp])
    poller.remove(number, key: 7)
  }

  @Test func `a peer that goes is told to who watches for nothing, and once only`() throws {
    let poller = PollPoller()
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { $0.rawValue }
    #expect(poller.add(number, key: 7, watching: []) == .watched)
    #expect(Self.duration(poller, 5) >= 5)
    close(pair.second)
    #expect(news(poller, count: 1).allSatisfy { $0.isSuperset(of: [.readClosed, .writeClosed]) })
    #expect(Self.duration(poller, 20) >= 20)
    poller.remove(number, key: 7)
  }

  // MARK: Shortages. Each in a process of its own.

  @Test func `pollers close what they have opened`() async {
    await #expect(processExitsWith: .success) {
      let before = openDescriptors()
      for _ in 0..<50 {
        for form in Form.allCases { _ = try form.make() }
      }
      // The runtime opens a few of its own at any time.
      #expect(openDescriptors().subtracting(before).count < 20)
    }
  }

  @Test func `poll without a descriptor to be woken by looks again every now and then`() async {
    await #expect(processExitsWith: .success) {
      let bell = try Bell()
      let found = Shared<PollPoller?>(nil)
      let waits = Shared(0)
      let isOver = Shared(false)
      // The kernel refuses eventfds to this thread alone. A limit on descriptors would hold for the whole process, and
      // Dispatch traps if it cannot open the file that it reads once a second.
      let thread = TestThread { () -> [UInt64] in
        #expect(swsys_forbid_here(Int32(SWSYS_CALL_EVENTFD)) == 0)
        let poller = PollPoller()
        found.set(poller)
        var events: [PollerEvent] = []
        while !isOver.value {
          poller.wait(until: .never, into: &events)
          waits.set(waits.value + 1)
        }
        return events.map(\.key)
      }
      await eventually { waits.value > 2 }
      let poller = try #require(found.value)
      #expect(poller.add(bell.reading, key: 5, watching: .readable) == .watched)
      bell.ring()
      let count = waits.value
      await eventually { waits.value > count + 1 }
      isOver.set(true)
      #expect(try await thread.value.contains(5))
      // A wait that can make an eventfd is woken by that.
      poller.remove(bell.reading, key: 5)
      var events: [PollerEvent] = []
      poller.wait(until: .after(.milliseconds(1)), into: &events)
      let sleeper = await Sleeper(poller)
      poller.wake()
      _ = try await sleeper.events
      // Waits are not cut into slices any more.
      #expect(Self.duration(poller, 30) >= 30)
    }
  }

  @Test func `where the kernel refuses to poll, everything that is watched may be ready`() async throws {
    let poller = PollPoller()
    let first = try Bell()
    let second = try Bell()
    #expect(poller.add(first.reading, key: 1, watching: .readable) == .watched)
    #expect(poller.add(first.writing, key: 2, watching: []) == .watched)
    #expect(poller.add(second.writing, key: 3, watching: [.readable, .writable]) == .watched)
    let found = try await TestThread { () -> [PollerEvent] in
      #expect(swsys_forbid_here(Int32(SWSYS_CALL_PPOLL)) == 0)
      var events: [PollerEvent] = []
      poller.wait(until: .never, into: &events)
      return events
    }.value
    #expect(found.map(\.key) == [1, 3])
    #expect(found.map(\.readiness) == [.readable, [.readable, .writable]])
    // A wake that comes afterwards is not lost.
    poller.wake()
    var events: [PollerEvent] = []
    poller.wait(until: .never, into: &events)
    withExtendedLifetime(poller) {}
  }

  /// Sleeps are counted, and not timed: a busy machine takes the processor from a thread that does not sleep.
  @Test func `a wait of epoll that finds an event, or has no time, does not sleep`() async throws {
    let poller = try EpollPoller()
    let bell = try Bell()
    let number = bell.reading
    #expect(poller.add(number, key: 7, watching: .readable) == .watched)
    let writing = bell.writing
    let (sleeps, count) = try await TestThread { () -> (Int, Int) in
      var events: [PollerEvent] = []
      let before = swsys_sleep_count()
      for _ in 0..<200 {
        _ = unsafe write(writing, [7] as [UInt8], 1)
        poller.wait(until: .never, into: &events)
        poller.wait(until: .immediately, into: &events)
      }
      return (swsys_sleep_count() - before, events.count)
    }.value
    #expect(count == 200)
    #expect(sleeps < 100)
    poller.remove(number, key: 7)
    withExtendedLifetime(bell) {}
  }
}
