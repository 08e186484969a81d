internal import Synchronization

/// The short way to the turn, past the lock: a caller that meets nobody takes the turn and gives it back
/// with one atomic operation each.
///
///     open       nobody is there: whoever comes takes the turn
///     held       somebody has the turn; nobody waits and nothing has happened
///     folded     the truth is in the state behind the lock
///
/// Every critical section folds first: what the turnstile knew becomes `turn` of the state, and from then on
/// nobody comes or goes past the lock. A section that leaves nothing behind but the turn unfolds again. So
/// the state machine sees each turn as if it had been taken under the lock, and who gives back a turn that
/// was folded meanwhile is sent the long way, where the queue is looked at.
@usableFromInline
package struct Turnstile: ~Copyable, Sendable {
  @usableFromInline enum Position {
    @usableFromInline static var open: UInt8 { 0 }
    @usableFromInline static var held: UInt8 { 1 }
    @usableFromInline static var folded: UInt8 { 2 }
  }

  private let position = Atomic(Position.open)

  /// Takes the turn, if nobody is there at all.
  func take() -> Bool {
    position.compareExchange(
      expected: Position.open, desired: Position.held, successOrdering: .acquiring, failureOrdering: .relaxed
    ).exchanged
  }

  /// Somebody has the turn, and nothing has happened since.
  var isHeld: Bool { position.load(ordering: .relaxed) == Position.held }

  /// Gives the turn back. False: it is in the state by now, and is to be given back there.
  func giveBack() -> Bool {
    position.compareExchange(
      expected: Position.held, desired: Position.open, successOrdering: .releasing, failureOrdering: .relaxed
    ).exchanged
  }

  /// Under the lock, before anything else.
  func fold(into state: inout HalfState) {
    if position.exchange(Position.folded, ordering: .acquiringAndReleasing) == Position.held {
      state.turn = true
    }
  }

  /// Under the lock, after everything else.
  func unfold(_ state: inout HalfState) {
    guard state.hasOnlyTurn else { return }
    let turn = state.turn
    state.turn = false
    position.store(turn ? Position.held : Position.open, ordering: .releasing)
  }
}
