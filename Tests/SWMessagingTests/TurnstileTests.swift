import SWTesting
import Synchronization
import TestSupport
import Testing

@testable import SWMessaging

/// The short way to the turn.
@Suite(.lastResort, .leavesNothing) struct TurnstileTests {
  /// A turnstile, and the state that it stands before.
  private final class Passage: Sendable {
    let turnstile = Turnstile()
    /// How often the other thread is still to look.
    let looks = Atomic(stressed(2_000_000))
    private let state = Guarded(HalfState())

    func withState(_ body: (inout HalfState) -> Void) {
      state.withLock { state in
        turnstile.fold(into: &state)
        body(&state)
        turnstile.unfold(&state)
      }
    }
  }

  @Test func `a turn is given back once, wherever another thread looks at the state meanwhile`() async throws
  {
    let passage = Passage()
    let looker = TestThread {
      while passage.looks.load(ordering: .relaxed) > 0 {
        passage.withState { _ in }
        passage.looks.subtract(1, ordering: .relaxed)
      }
    }
    // The numbers of turns that were taken already, or were held by nobody, when they should not have been.
    var (taken, free) = (0, 0)
    while passage.looks.load(ordering: .relaxed) > 0 {
      if !passage.turnstile.take() {
        passage.withState { state in
          if state.turn { taken += 1 }
          state.turn = true
        }
      }
      if !passage.turnstile.giveBack() {
        passage.withState { state in
          if !state.turn { free += 1 }
          state.turn = false
        }
      }
    }
    try await looker.value
    #expect(taken == 0 && free == 0)
    passage.withState { state in #expect(!state.turn) }
  }
}
