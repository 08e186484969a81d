import SWIO
import SWMessaging
import Synchronization

/// A caller that waits at a place, reduced to what it does between two waits.
final class HandCaller: Sendable {
  private struct State: Sendable {
    var isWoken = false
    var isPolling = false
  }

  let place: Place
  private let half: Half
  private let state = Mutex(State())

  /// Makes the caller wait: a task is parked, a thread has looked and found nothing to do.
  init(_ place: Place, in half: Half) {
    self.place = place
    self.half = half
    if place.kind == .thread {
      look()
    } else if !half.park(place, .callback { [weak self] in self?.wake() }) {
      wake()
    }
  }

  /// Resumed, or woken.
  var isWoken: Bool { state.withLock { $0.isWoken } }
  var isDecided: Bool { half.inspect { [place] _ in place.isDecided } }

  private func wake() { state.withLock { $0.isWoken = true } }

  /// The steps of a woken thread: drives, and looks again, until it waits or is done. One that polls when its endpoint is closed has
  /// to be run once more: the transport is closed behind it.
  func run(isLate: Bool = false) {
    guard place.kind == .thread else { return }
    let wasPolling = state.withLock { state in
      defer { (state.isWoken, state.isPolling) = (false, false) }
      return state.isPolling
    }
    if half.endWait(place, polling: wasPolling) { half.driveOn(as: place) }
    look(isLate: isLate)
  }

  private func look(isLate: Bool = false) {
    let wakeUp = WakeUp { [weak self] in self?.wake() }
    while true {
      switch half.look(place, wakeUp, isLate: isLate) {
      case .decided: return
      case .wait(let polling): return state.withLock { $0.isPolling = polling }
      case .drive: half.drive(as: place, first: false)
      }
    }
  }

  /// Its deadline passes, or it is cancelled; only tasks are.
  func giveUp(_ reason: GiveUp) {
    if place.kind == .thread, reason == .timedOut { return look(isLate: true) }
    half.giveUp(place, reason)
  }
}
