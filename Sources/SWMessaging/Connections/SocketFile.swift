/// The file of a Unix socket that a listener, or ``bindDatagrams(at:framing:maximumFrameSize:file:)``, makes: its permissions, and what becomes of one that is there already.
///
///     let listener = try Listener(.unix("/run/app.sock"), framing: .varInt, file: .mode(0o660))
///
/// The file has its permissions from the moment that it has its name, whatever the process's umask is. Clients need the
/// permission to write.
public struct SocketFile: Hashable, Sendable {
  /// The treatment of a socket that is at the path already.
  @nonexhaustive
  public enum Presence: Hashable, Sendable {
    /// The listener is not made: EADDRINUSE, also if no server listens there any more.
    case refuse
    /// A socket that belongs to no process any more is replaced. If a server has it, whether or not it listens yet, the
    /// listener is not made: EADDRINUSE. Of several processes that replace the same file, one succeeds.
    case replaceStale
    /// The socket is replaced, whether or not a server has it. Clients that connect from then on reach the new listener,
    /// and no client finds that the path is missing; of a socket for datagrams it is missing for a moment. The old server keeps its connections and its queue; when a
    /// listener of this library is closed, the new file is left alone.
    case takeOver
  }

  /// The permissions, such as 0o600: all nine bits count.
  public var permissions: UInt32
  /// The treatment of a socket that is at the path already. Files of other kinds are never touched.
  public var ifPresent: Presence

  /// - Parameters:
  ///   - permissions: the permissions, at most 0o777.
  ///   - ifPresent: what becomes of a socket that is there already.
  public static func mode(_ permissions: UInt32, ifPresent: Presence = .replaceStale) -> SocketFile {
    precondition(permissions <= 0o777, "permissions have nine bits")
    return SocketFile(permissions: permissions, ifPresent: ifPresent)
  }

  private init(permissions: UInt32, ifPresent: Presence) {
    self.permissions = permissions
    self.ifPresent = ifPresent
  }
}
