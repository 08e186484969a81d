internal import SWIO
internal import Synchronization
package import SystemPackage

/// A source of connections that also reports events.
package protocol AcceptingSource: ItemSource {
  var reporter: AcceptReporter { get }
}

/// Reports to a listener what its source meets besides connections: connections that the policy refuses, and shortages. A
/// shortage is reported once when it begins and once when it ends.
package final class AcceptReporter: Sendable {
  private struct State: Sendable {
    var tell: (@Sendable (ListenerEvent) -> Void)?
    /// The present shortage. Nil if there is none.
    var shortage: Errno?
    var refusedCount = 0
  }

  private let state = Guarded(State())

  package init() {}

  /// The number of connections that the policy has refused.
  var refusedCount: Int { state.withLock { $0.refusedCount } }

  /// Calls `tell` with each event, on any thread.
  func setObserver(_ tell: @escaping @Sendable (ListenerEvent) -> Void) { state.withLock { $0.tell = tell } }

  /// Ends the reporting.
  package func end() {
    state.withLock { state in
      state.tell = nil
      state.shortage = nil
    }
  }

  /// Reports a connection that the policy has refused, and that is closed already.
  func refused(_ peer: PeerCredentials?) {
    let tell = state.withLock { state in
      state.refusedCount += 1
      return state.tell
    }
    tell?(.refused(.policy, peer: peer))
  }

  /// Notes that an attempt to accept has failed because of a shortage.
  package func beginShortage(_ errno: Errno) {
    let tell = state.withLock { state in
      defer { state.shortage = errno }
      return state.shortage == nil ? state.tell : nil
    }
    tell?(.acceptingPaused(TransportError(.accept, errno)))
  }

  /// Notes that an attempt to accept has met no shortage.
  package func endShortage() {
    let tell = state.withLock { state in
      defer { state.shortage = nil }
      return state.shortage == nil ? nil : state.tell
    }
    tell?(.acceptingResumed)
  }
}
