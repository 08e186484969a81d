import Glibc
import SWIO
import SWTesting
import Synchronization
import SystemPackage
import Testing

/// What a reactor stands on, in both of its forms.
@Suite struct PollerTests {
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

  /// What is told of a key, over as many waits as it takes until something is, or nothing was for a while.
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
}
