internal import Synchronization

/// The short way to the turn, without the lock: a caller that meets no other caller takes the turn and returns it with one
/// atomic operation each.
///
///     open       the turn is free, and the next caller takes it
///     held       a caller has the turn; no caller waits, and nothing has happened
///     folded     the state behind the lock has all information
///
/// Every critical section folds first: it copies the turnstile's knowledge into `turn` of the state, and from then on no
/// caller passes without the lock. A section that leaves nothing but the turn unfolds again. So the state machine sees each
/// turn as if it had been taken under the lock. A caller that returns a turn that was folded in the meantime takes the long
/// way, where the queue is examined.
@usableFromInline
package struct Turnstile: ~Copyable, Sendable {
  @usableFromInline enum Position {
    @usableFromInline static var open: UInt8 { 0 }
    @usableFromInline static var held: UInt8 { 1 }
    @usableFromInline static var folded: UInt8 { 2 }
  }

  private let position = Atomic(Position.open)

  /// Takes the turn, if the turnstile is open.
  func take() -> Bool {
    position.compareExchange(
      expected: Position.open, desired: Position.held, successOrdering: .acquiring, failureOrdering: .relaxed
    ).exchanged
  }

  /// Whether a caller has the turn and nothing has happened since it took it.
  var isHeld: Bool { position.load(ordering: .relaxed) == Position.held }

  /// Returns the turn. Returns false if the turn is in the state now and has to be released there.
  func giveBack() -> Bool {
    position.compareExchange(
      expected: Position.held, desired: Position.open, successOrdering: .releasing, failureOrdering: .relaxed
    ).exchanged
  }

  /// Copies the turnstile into the state. Called under the lock, before anything else.
  func fold(into state: inout HalfState) {
    if position.exchange(Position.folded, ordering: .acquiringAndReleasing) == Position.held {
      state.turn = true
    }
  }

  /// Opens the turnstile again if the state allows that. Called under the lock, after everything else.
  func unfold(_ state: inout HalfState) {
    guard state.hasOnlyTurn else { return }
    let turn = state.turn
    state.turn = false
    position.store(turn ? Position.held : Position.open, ordering: .releasing)
  }
}
