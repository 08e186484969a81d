internal import SWIO
internal import Synchronization
package import SystemPackage

/// A source of connections that tells what happens besides them.
package protocol AcceptingSource: ItemSource {
  var reporter: AcceptReporter { get }
}

/// Tells a listener what its source meets besides connections: connections that the policy refuses, and shortages. A
/// shortage is told once when it begins and once when it ends.
package final class AcceptReporter: Sendable {
  private struct State: Sendable {
    var tell: (@Sendable (ListenerEvent) -> Void)?
    /// The shortage that there is; nil: none.
    var shortage: Errno?
    var refusedCount = 0
  }

  private let state = Guarded(State())

  package init() {}

  /// How many connections the policy has refused.
  var refusedCount: Int { state.withLock { $0.refusedCount } }

  /// Has `tell` called with each event, from any thread.
  func setObserver(_ tell: @escaping @Sendable (ListenerEvent) -> Void) { state.withLock { $0.tell = tell } }

  /// Nobody is told any more.
  package func end() {
    state.withLock { state in
      state.tell = nil
      state.shortage = nil
    }
  }

  /// The policy has refused a connection, which is closed already.
  func refused(_ peer: PeerCredentials?) {
    let tell = state.withLock { state in
      state.refusedCount += 1
      return state.tell
    }
    tell?(.refused(.policy, peer: peer))
  }

  /// An attempt to accept has failed for want of something.
  package func beginShortage(_ errno: Errno) {
    let tell = state.withLock { state in
      defer { state.shortage = errno }
      return state.shortage == nil ? state.tell : nil
    }
    tell?(.acceptingPaused(TransportError(.accept, errno)))
  }

  /// An attempt to accept has met no shortage.
  package func endShortage() {
    let tell = state.withLock { state in
      defer { state.shortage = nil }
      return state.shortage == nil ? nil : state.tell
    }
    tell?(.acceptingResumed)
  }
}
