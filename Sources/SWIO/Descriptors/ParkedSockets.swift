internal import CSysShim
internal import Synchronization
package import SystemPackage

/// Sockets whose close takes as long as a peer likes, on their way to a thread that closes them.
///
/// A socket is put into the queue of a private socket (SCM_RIGHTS), and its number is closed. That is not the last close of its
/// file, so it does not wait, and the number is free without any thread. A thread then closes the private socket. The kernel
/// releases the sockets in its queue first, which tells their peers, and only then the files in the queues of those. So one
/// thread tells the peers of any number of sockets before it has to wait.
///
///     threads that close     a further batch begins
///     fewer than 64          at once
///     64 to 127              after 10 ms
///     for 64 more            after twice that time
///     1024, or if no         when a thread can be had
///     thread can be started
///
/// Sockets that are parked meanwhile come into the same batch. So peers with many closes that take long can delay those of others,
/// but hardly stop them: each further thread costs them more time.
///
/// Invariant: `threadCount` counts the threads that close a batch and, while `isBeginning`, the one that is about to.
package final class ParkedSockets: Sendable {
  /// A private socket with what is parked in it.
  private struct Batch: Sendable {
    let holder: Int32
    /// The other end, through which more can be parked.
    let entrance: Int32
    /// Whether nothing more is parked in it.
    var isSealed = false
    var whenClosed: [@Sendable () -> Void] = []

    func close() {
      OwnedDescriptor.closeAtOnce(entrance)
      OwnedDescriptor.closeAtOnce(holder)
    }
  }

  private struct State: Sendable {
    /// The batches that no thread has taken, in order. Only the last one can take more.
    var waiting: [Batch] = []
    var threadCount = 0
    /// Whether a thread is about to take a batch.
    var isBeginning = false
    var isTimerSet = false
    var lastBegin = Deadline.immediately
  }

  private let state = Guarded(State())
  private let threads: HelperThreads
  private let merges: Bool
  private let usual: Int
  private let most: Int

  /// For Unix sockets, which tell their peers before they wait.
  package static let shared = ParkedSockets(name: "sw-peer-closer", merges: true, usual: 64, most: 1024)
  /// For sockets that wait while they tell their peers, so each needs a thread of its own.
  package static let lone = ParkedSockets(name: "sw-lone-closer", merges: false, usual: 1024, most: 1024)

  /// - Parameters:
  ///   - merges: whether one thread closes several sockets.
  ///   - usual: how many threads begin at once.
  ///   - most: how many threads there are at most.
  ///   - startThread: starts a thread, or returns the error. Tests pass their own.
  package init(
    name: String, merges: Bool, usual: Int, most: Int,
    startThread: (@Sendable (@escaping @Sendable () -> Void) -> Errno?)? = nil
  ) {
    threads = HelperThreads(name: name, usual: most, most: most, startThread: startThread)
    self.merges = merges
    self.usual = usual
    self.most = most
  }

  // MARK: Parking

  /// Gives up the numbers of sockets, and has the sockets closed soon. Any thread may call it, and none waits.
  ///
  /// - Parameters:
  ///   - sockets: their number and that of the others are at most 251.
  ///   - others: sockets that may wait before their peers are told. They are released after all `sockets` of the batch.
  ///   - whenClosed: called when the closes have returned, on another thread.
  /// - Returns: false if they cannot be parked, because no numbers are free for a pair of sockets, or the user has too many
  ///   descriptors in flight. The caller still owns them then.
  package func park(
    _ sockets: [Int32], behind others: [Int32] = [], whenClosed: (@Sendable () -> Void)? = nil
  ) -> Bool {
    var parked = sockets
    if !others.isEmpty {
      guard let pair = Self.makePair() else { return false }
      guard Self.send(others, to: pair.entrance) else {
        CloserThread.runForPeer { pair.close() }
        return false
      }
      parked += [pair.holder, pair.entrance]
    }
    let isParked = state.withLock { state in
      guard append(parked, to: &state) else { return false }
      if let whenClosed { state.waiting[state.waiting.count - 1].whenClosed.append(whenClosed) }
      // Under the lock: if a thread had closed the batch before, these would be the last closes of their files, and could wait.
      for number in parked + others { Self.giveUp(number) }
      return true
    }
    if isParked {
      DescriptorShortage.shared.noteClose()
    } else if !others.isEmpty {
      let pair = Batch(holder: parked[parked.count - 2], entrance: parked[parked.count - 1])
      CloserThread.runForPeer { pair.close() }
    }
    begin()
    return isParked
  }

  private static func giveUp(_ number: Int32) {
    if (0...2).contains(number), swsys_replace_with_null(number) == 0 { return }
    _ = swsys_close(number)
  }

  /// Puts sockets into the last batch, or into a new one if that one is full.
  private func append(_ numbers: [Int32], to state: inout State) -> Bool {
    if let last = state.waiting.last, !last.isSealed {
      if Self.send(numbers, to: last.entrance) { return true }
      state.waiting[state.waiting.count - 1].isSealed = true
    }
    guard var batch = Self.makePair() else { return false }
    let isSent = Self.send(numbers, to: batch.entrance)
    batch.isSealed = !merges || !isSent
    // Also an empty one: its close may wait on a kernel that collects garbage in it.
    state.waiting.append(batch)
    return isSent
  }

  private static func makePair() -> Batch? {
    let numbers = unsafe withUnsafeTemporaryAllocation(of: Int32.self, capacity: 2) {
      ends -> (Int32, Int32)? in
      guard let base = ends.baseAddress else { return nil }
      guard unsafe swsys_unix_pair(base, swsys_sock_stream) == 0 else { return nil }
      return unsafe (ends[0], ends[1])
    }
    return numbers.map { Batch(holder: $0.0, entrance: $0.1) }
  }

  private static func send(_ numbers: [Int32], to entrance: Int32) -> Bool {
    unsafe numbers.withUnsafeBufferPointer {
      unsafe swsys_pass(entrance, $0.baseAddress, Int32($0.count)) == 1
    }
  }

  // MARK: Closing

  /// Whether a close has not begun yet, or has begun a moment ago: its peer may not have been told.
  package var mayHaveUntoldPeers: Bool {
    state.withLock { state in
      if !state.waiting.isEmpty { return true }
      return state.threadCount > 0
        && !Deadline(nanoseconds: state.lastBegin.nanoseconds + 50_000_000).hasPassed
    }
  }

  /// How long a further batch waits, in nanoseconds, if so many threads close already.
  package static func delay(besides threadCount: Int, usual: Int) -> UInt64 {
    threadCount < usual ? 0 : 10_000_000 << UInt64(min(threadCount / usual - 1, 20))
  }

  private enum Next: Sendable {
    case nothing, start
    case timer(Deadline)
  }

  /// Starts a thread for what is parked, now or later, unless one is about to come.
  private func begin() {
    let next = state.withLock { state -> Next in
      guard let first = state.waiting.first, !state.isBeginning, state.threadCount < most else {
        return .nothing
      }
      let delay = first.isSealed ? 0 : Self.delay(besides: state.threadCount, usual: usual)
      let due = Deadline(nanoseconds: state.lastBegin.nanoseconds + delay)
      if due.hasPassed {
        state.isBeginning = true
        state.threadCount += 1
        return .start
      }
      if state.isTimerSet { return .nothing }
      state.isTimerSet = true
      return .timer(due)
    }
    switch next {
    case .nothing: break
    case .start: threads.run { [self] in work() }
    case .timer(let due):
      Reactor.shared.set(
        Timer(
          Later { [self] in
            state.withLock { $0.isTimerSet = false }
            begin()
          }), at: due)
    }
  }

  private func work() {
    state.withLock { $0.isBeginning = false }
    while let batch = takeBatch() {
      begin()
      batch.close()
      for body in batch.whenClosed { body() }
    }
  }

  private func takeBatch() -> Batch? {
    state.withLock { state in
      guard !state.waiting.isEmpty else {
        state.threadCount -= 1
        return nil
      }
      state.lastBegin = .now
      return state.waiting.removeFirst()
    }
  }
}
