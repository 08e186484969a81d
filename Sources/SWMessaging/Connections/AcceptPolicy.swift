internal import CSysShim
internal import SWIO

/// The rule for the connections that a listener accepts. A connection is checked before one byte of it is read. If it is
/// refused, it is closed and counted (``Listener/refusedCount``), the observer of ``Listener``'s `serve` is called, and the
/// listener continues.
///
/// All but ``anyone`` ask for the credentials of a Unix socket's peer, which is the process that connected.
///
/// In a user namespace that does not map all ids, such as a sandbox, every user without an id there has the same one for the
/// kernel: the overflow id, usually 65534. That id proves nothing there, so ``sameUser``, ``users(_:)`` and ``groups(_:)``
/// do not admit it, even if the namespace maps a user to it.
public struct AcceptPolicy: Sendable {
  private enum Kind: Sendable {
    case anyone
    case sameUser
    case users(Set<UInt32>)
    case groups(Set<UInt32>)
    case when(@Sendable (PeerCredentials) -> Bool)
  }

  private let kind: Kind

  /// Every connection.
  public static var anyone: AcceptPolicy { AcceptPolicy(kind: .anyone) }

  /// Those of processes with this process's effective user id; not those of root, unless this process is root's.
  public static var sameUser: AcceptPolicy { AcceptPolicy(kind: .sameUser) }

  /// Those of processes with one of these user ids.
  public static func users(_ users: Set<UInt32>) -> AcceptPolicy { AcceptPolicy(kind: .users(users)) }

  /// Those of processes with one of these groups, as their group or as one of their supplementary groups.
  public static func groups(_ groups: Set<UInt32>) -> AcceptPolicy { AcceptPolicy(kind: .groups(groups)) }

  /// Those that a closure admits. The closure may run on any thread, the library's own among them, and other
  /// connections wait for it: it must not block.
  public static func when(_ admits: @escaping @Sendable (PeerCredentials) -> Bool) -> AcceptPolicy {
    AcceptPolicy(kind: .when(admits))
  }

  /// Whether the policy has to know the peer.
  var needsCredentials: Bool {
    if case .anyone = kind { return false }
    return true
  }

  /// Whether the policy admits the connection.
  func admits(_ fresh: FreshDescriptor) -> Bool {
    if !needsCredentials { return true }
    guard let peer = PeerCredentials(of: fresh) else { return false }
    switch kind {
    case .anyone: return true
    case .sameUser:
      return peer.userID == swsys_effective_user() && !UserNamespace.isAmbiguous(peer.userID, .user)
    case .users(let users):
      return users.contains(peer.userID) && !UserNamespace.isAmbiguous(peer.userID, .user)
    case .groups(let groups):
      func admits(_ group: UInt32) -> Bool {
        groups.contains(group) && !UserNamespace.isAmbiguous(group, .group)
      }
      return admits(peer.groupID) || (try? peer.groups())?.contains(where: admits) ?? false
    case .when(let admits): return admits(peer)
    }
  }
}
