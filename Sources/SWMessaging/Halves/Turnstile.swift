internal import Synchronization

/// The short way to the turn, without the lock: a caller that meets no other caller takes the turn and returns it with one
/// atomic operation each.
///
///     open       the turn is free, and the next caller takes it
///     held       a caller has the turn; no caller waits, and nothing has happened
///     away       the same, and the caller may keep the turn for long
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
    @usableFromInline static var away: UInt8 { 3 }
  }

  private let position = Atomic(Position.open)

  /// Takes the turn, if the turnstile is open.
  ///
  /// - Parameter forLong: whether the caller may keep it for long.
  @inline(__always)
  func take(forLong: Bool = false) -> Bool {
    position.compareExchange(
      expected: Position.open, desired: forLong ? Position.away : Position.held, successOrdering: .acquiring,
      failureOrdering: .relaxed
    ).exchanged
  }

  /// From now on the caller that has the turn may keep it for long. Returns false if the turn is in the state now and has to
  /// be marked there.
  func goAway() -> Bool {
    position.compareExchange(expected: Position.held, desired: Position.away, ordering: .relaxed).exchanged
  }

  /// Whether a caller has the turn, does not keep it for long, and nothing has happened since it took it.
  var isHeld: Bool { position.load(ordering: .relaxed) == Position.held }

  /// The caller that has the turn does not keep it for long. Returns false if the turn is in the state now and has to be marked
  /// there.
  func comeBack() -> Bool {
    let isMarked = position.compareExchange(
      expected: Position.away, desired: Position.held, ordering: .relaxed
    )
    return isMarked.exchanged || isMarked.original == Position.held
  }

  /// Returns the turn. Returns false if the turn is in the state now and has to be released there.
  func giveBack() -> Bool {
    // The position changes only to `folded` meanwhile.
    let present = position.load(ordering: .relaxed)
    return present != Position.folded
      && position.compareExchange(
        expected: present, desired: Position.open, successOrdering: .releasing, failureOrdering: .relaxed
      ).exchanged
  }

  /// Copies the turnstile into the state. Called under the lock, before anything else.
  func fold(into state: inout HalfState) {
    switch position.exchange(Position.folded, ordering: .acquiringAndReleasing) {
    case Position.held: state.turn = true
    case Position.away: (state.turn, state.isAway) = (true, true)
    default: break
    }
  }

  /// Opens the turnstile again if the state allows that. Called under the lock, after everything else.
  func unfold(_ state: inout HalfState) {
    guard state.hasOnlyTurn else { return }
    let (turn, isAway) = (state.turn, state.isAway)
    (state.turn, state.isAway) = (false, false)
    position.store(
      isAway ? Position.away : turn ? Position.held : Position.open, ordering: .releasing)
  }
}
