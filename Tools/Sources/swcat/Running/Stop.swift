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
///
/// A second signal ends the process at once, as if it had not been caught. A signal that was ignored when the program
/// started, as shells have it for programs in the background, stays ignored.
final class Stop: Sendable {
  static let shared = Stop()

  private struct State {
    var signal: Int32?
    var actions: [@Sendable () -> Void] = []
    var patience = Duration.seconds(1)
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

  /// Waits for signals, for ever.
  func waitForSignals() -> Never {
    var mask = Self.set(of: Self.caught)
    while true {
      var signal: Int32 = 0
      guard unsafe sigwait(&mask, &signal) == 0 else { continue }
      if self.signal == nil {
        ask(signal)
      } else {
        // Now it has its default disposition: it ends the process.
        Self.change(SIG_UNBLOCK, [signal])
        kill(getpid(), signal)
      }
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
