internal import SWMessaging
internal import Synchronization

#if canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// The end from outside: SIGINT, SIGTERM and SIGHUP.
///
///     running    no signal has come
///     stopping   a signal came: everything that receives sees the end of its stream, and what has arrived is handled
///     cut off    the time for that has passed: the work is cancelled
///     late       the same time, and a second at least, has passed again: the program ends without the work
///
/// The first thread waits for the signals and for these times, because the threads of Swift's pool may all be busy.
///
/// A second signal ends the process at once, as if it had not been caught. A signal that was ignored when the program
/// started, as shells have it for programs in the background, stays ignored.
final class Stop: Sendable {
  static let shared = Stop()

  private struct State {
    var signal: Int32?
    var actions: [@Sendable () -> Void] = []
    var patience = Duration.seconds(1)
    /// The actions for the times that follow the first signal, in order.
    var lateActions: [@Sendable () -> Void] = []
  }

  private let state = Mutex(State())

  /// The signal that came first; nil if none came.
  var signal: Int32? { state.withLock { $0.signal } }

  /// How long the work may go on after the signal.
  var patience: Duration {
    get { state.withLock { $0.patience } }
    set { state.withLock { $0.patience = newValue } }
  }

  /// Does something when the first signal comes; at once if it has come.
  func whenAsked(_ action: @escaping @Sendable () -> Void) {
    let hasCome = state.withLock { state in
      if state.signal == nil { state.actions.append(action) }
      return state.signal != nil
    }
    if hasCome { action() }
  }

  /// Does something on the thread that waits for signals, when the time after the first signal has passed, and when it has
  /// passed again. The work needs a moment to end what it has begun, so that is a second at least.
  func whenLate(cutOff: @escaping @Sendable () -> Void, end: @escaping @Sendable () -> Void) {
    state.withLock { $0.lateActions = [cutOff, end] }
  }

  /// Has the endpoint report the end of its stream when a signal comes.
  func ends(_ endpoint: some ReceivingEndpoint) { whenAsked { endpoint.finishReceiving() } }

  private func ask(_ signal: Int32) {
    let actions = state.withLock { state in
      defer { state.actions = [] }
      if state.signal == nil { state.signal = signal }
      return state.actions
    }
    for action in actions { action() }
  }

  /// Blocks the signals that are caught, for this thread and those that it starts. Call it before it starts any.
  func blockSignals() { Self.change(SIG_BLOCK, Self.caught) }

  /// Waits for signals, and for the times that follow the first one, for ever.
  func waitForSignals() -> Never {
    var times: [ContinuousClock.Instant] = []
    while true {
      guard let signal = Self.next(until: times.first) else {
        times.removeFirst()
        let action = state.withLock { $0.lateActions.isEmpty ? nil : $0.lateActions.removeFirst() }
        action?()
        continue
      }
      if self.signal == nil {
        ask(signal)
        let patience = patience
        let cutOff = ContinuousClock.now + patience
        times = [cutOff, cutOff + max(patience, .seconds(1))]
      } else {
        // Now it has its default disposition: it ends the process.
        Self.change(SIG_UNBLOCK, [signal])
        kill(getpid(), signal)
      }
    }
  }

  /// Waits for a signal. Returns nil when the time has passed.
  private static func next(until time: ContinuousClock.Instant?) -> Int32? {
    var mask = set(of: caught)
    while true {
      guard let time else {
        var signal: Int32 = 0
        if unsafe sigwait(&mask, &signal) == 0 { return signal }
        continue
      }
      let (seconds, attoseconds) = max(time - ContinuousClock.now, .zero).components
      var rest = timespec()
      rest.tv_sec = time_t(clamping: seconds)
      rest.tv_nsec = Int(attoseconds / 1_000_000_000)
      let signal = unsafe sigtimedwait(&mask, nil, &rest)
      if signal > 0 { return signal }
      // Another signal, such as one that stops the process, interrupts the wait.
      if errno == EAGAIN { return nil }
    }
  }

  private static let caught = [SIGINT, SIGTERM, SIGHUP].filter { !isIgnored($0) }

  private static func set(of signals: [Int32]) -> sigset_t {
    var mask = sigset_t()
    unsafe sigemptyset(&mask)
    for signal in signals { unsafe sigaddset(&mask, signal) }
    return mask
  }

  private static func change(_ how: Int32, _ signals: [Int32]) {
    var mask = set(of: signals)
    unsafe pthread_sigmask(how, &mask, nil)
  }

  static func name(of signal: Int32) -> String {
    switch signal {
    case SIGINT: "SIGINT"
    case SIGTERM: "SIGTERM"
    default: "SIGHUP"
    }
  }

  private static func isIgnored(_ signal: Int32) -> Bool {
    var action = sigaction()
    guard unsafe sigaction(signal, nil, &action) == 0 else { return false }
    return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
  }
}
