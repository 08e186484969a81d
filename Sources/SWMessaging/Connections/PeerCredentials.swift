internal import CSysShim
public import SWIO
internal import Synchronization
internal import SystemPackage

/// The process at the other end of a Unix socket, as the kernel knows it: the one that connected, or the one that
/// listens.
///
/// The credentials are those at the time of `connect(2)` or `listen(2)`. They stay the same when that process has ended,
/// and when another process, such as a child, goes on with the socket.
///
/// The user and the groups may be trusted for a decision. The process id may be used in a log and for nothing else: it can
/// belong to another process by the time it is used. ``openProcess()`` gives a descriptor that cannot.
///
/// Source: unix(7), SO_PEERCRED, SO_PEERGROUPS; SO_PEERPIDFD of Linux 6.5.
public struct PeerCredentials: Sendable {
  /// The process id in this process's PID namespace; nil if the process is outside it.
  public let processID: Int32?
  /// The effective user id. In a user namespace, all users without an id there have the same one, usually 65534.
  public let userID: UInt32
  /// The effective group id. In a user namespace, all groups without an id there have the same one, usually 65534.
  public let groupID: UInt32

  private enum Socket: Sendable {
    case fresh(FreshDescriptor)
    case halves([Half])
  }

  private let socket: Socket

  /// Returns nil if the kernel has no credentials of the peer, for example over TCP.
  init?(of fresh: FreshDescriptor) {
    guard fresh.isUnix, let found = fresh.withNumber(Self.ask) ?? nil else { return nil }
    self.init(found, .fresh(fresh))
  }

  /// Returns nil if the kernel has no credentials of the peer, or if the endpoint is closed.
  init?(of halves: [Half]) {
    let found = try? halves.withDescriptor { swsys_is_unix($0) ? Self.ask($0) : nil }
    guard let found else { return nil }
    self.init(found, .halves(halves))
  }

  private init(_ found: (pid: Int32, uid: UInt32, gid: UInt32), _ socket: Socket) {
    processID = found.pid > 0 ? found.pid : nil
    userID = found.uid
    groupID = found.gid
    self.socket = socket
  }

  private static func ask(_ number: Int32) -> (pid: Int32, uid: UInt32, gid: UInt32)? {
    var found: (pid: Int32, uid: UInt32, gid: UInt32) = (0, .max, .max)
    let result = unsafe swsys_peer_credentials(number, &found.pid, &found.uid, &found.gid)
    // If the kernel has no credentials, it reports no error, but process 0 and the user -1.
    return result < 0 || (found.pid == 0 && found.uid == .max) ? nil : found
  }

  /// The supplementary groups of the process, in no particular order. ``groupID`` may or may not be among them.
  ///
  /// - Throws: ``EndpointError`` `closed`, when the endpoint is closed; `transport` with the operation `credentials`.
  public func groups() throws(EndpointError) -> [UInt32] {
    let found = try withNumber { number -> Result<[UInt32], TransportError> in
      var groups: UnsafeMutablePointer<UInt32>?
      let count = unsafe swsys_peer_groups(number, &groups)
      defer { unsafe swsys_free_groups(groups) }
      return Result { () throws(TransportError) in
        let count = try checked(.credentials, count)
        return unsafe Array(UnsafeBufferPointer(start: groups, count: Int(count)))
      }
    }
    do throws(TransportError) { return try found.get() } catch { throw EndpointError(.transport(error)) }
  }

  /// Opens the process: a pidfd, which stands for this process and never for another one that gets its number.
  ///
  /// - Returns: the pidfd, close-on-exec, the caller's.
  /// - Throws: ``EndpointError``
  ///   - `transport` with the operation `credentials`. ESRCH: the process is gone. ENOPROTOOPT: the kernel is older
  ///     than Linux 6.5. EMFILE: no descriptor can be had.
  ///   - `closed`: the endpoint is closed.
  public func openProcess() throws(EndpointError) -> OwnedDescriptor {
    let result = try withNumber { swsys_peer_pidfd($0) }
    do throws(TransportError) {
      // Kernels before 6.16 report EINVAL if the process has been reaped.
      let isReaped = result == -Errno.invalidArgument.rawValue
      let number = try checked(.credentials, isReaped ? -Errno.noSuchProcess.rawValue : result)
      let process = OwnedDescriptor(adopting: FileDescriptor(rawValue: number))
      // Later kernels return a descriptor that refers to no process.
      if swsys_pidfd_signal(number, 0, false) == -Errno.noSuchProcess.rawValue {
        throw TransportError(.credentials, .noSuchProcess)
      }
      return process
    } catch {
      throw EndpointError(.transport(error))
    }
  }

  private func withNumber<Result: Sendable>(_ body: (Int32) -> Result) throws(EndpointError) -> Result {
    switch socket {
    case .fresh(let fresh):
      guard let result = fresh.withNumber(body) else { throw EndpointError(.closed) }
      return result
    case .halves(let halves):
      do {
        return try halves.withDescriptor(body)
      } catch {
        throw EndpointError(.closed)
      }
    }
  }
}

extension PeerCredentials: CustomStringConvertible {
  /// For people: `process 4711 of user 1000, group 1000`.
  public var description: String {
    let process = processID.map { "process \($0)" } ?? "a process"
    return "\(process) of user \(userID), group \(groupID)"
  }
}

extension Endpoint {
  /// The process at the other end of a connection that was accepted or connected over a Unix socket; nil over anything
  /// else, such as TCP, and when the endpoint is closed.
  ///
  /// Nil also of a descriptor that was adopted: its credentials may be those of this process, or of its parent.
  /// ``credentialsOfPeer()`` asks for them.
  public var peer: PeerCredentials? {
    let halves = core.halves
    guard halves.first?.port.knowsPeer.load(ordering: .relaxed) ?? false else { return nil }
    return PeerCredentials(of: halves)
  }

  /// The kernel's account of the process at the other end of a Unix socket, also of an adopted one. Of a
  /// socket pair these are the credentials of the process that made the pair. Nil over anything else, and when the
  /// endpoint is closed.
  public func credentialsOfPeer() -> PeerCredentials? { PeerCredentials(of: core.halves) }
}
