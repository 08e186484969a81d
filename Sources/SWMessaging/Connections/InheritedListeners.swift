internal import CSysShim
public import SWFraming
internal import SWIO
internal import Synchronization
internal import SystemPackage

extension Listener {
  /// A listening socket that a service manager has passed to this process, by its name; nil if none has been passed, so
  /// that a program can listen by itself:
  ///
  ///     let listener =
  ///       try Listener.inherited(named: "control", framing: .varInt)
  ///       ?? Listener(.unix("/run/app.sock"), framing: .varInt)
  ///
  /// With systemd the name is that of `FileDescriptorName=` in the socket's unit, or the unit's own. If several sockets have
  /// it, this is the first; ``allInherited(named:framing:mode:maximumFrameSize:kind:accepting:)`` has all.
  ///
  /// A socket can be taken over once. Its file is never removed, and the socket goes on to listen when the listener is
  /// closed, because the service manager has it, too. While the listener is open, the socket is nonblocking. All passed
  /// descriptors are marked close-on-exec, and children do not inherit the variables
  /// (``ChildEnvironment/channelVariables``).
  ///
  /// Source: sd_listen_fds(3). `LISTEN_FDS` descriptors from 3 on are meant for the process `LISTEN_PID`, and with
  /// `LISTEN_PIDFDID` for no other process of that number; `LISTEN_FDNAMES` names them. Variables for another process mean
  /// that nothing has been passed.
  ///
  /// - Parameters:
  ///   - name: the socket's name.
  ///   - framing: the framing of the messages.
  ///   - mode: whether connections read ahead.
  ///   - maximumFrameSize: the largest frame to receive, in bytes, header included.
  ///   - kind: the kind that the socket must have.
  ///   - policy: the connections that are accepted. Everybody's by default: the service manager has set the file's
  ///     permissions.
  /// - Throws: ``EndpointError``; the descriptor is left as it was.
  ///   - `transport` with the operation `adopt`. ENOTSOCK, EPROTOTYPE, EINVAL: the descriptor is no socket, one of another
  ///     kind, or does not listen. EINVAL, EBADF: the variables do not fit each other, or name a descriptor that is not
  ///     open.
  ///   - `busy`: it has been taken over already.
  public static func inherited<F: Framing>(
    named name: String, framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize, kind: ConnectionKind = .stream,
    accepting policy: AcceptPolicy = .anyone
  ) throws(EndpointError) -> Listener? where Connection == MessageDuplex<F> {
    guard let socket = try InheritedSockets.all().first(where: { $0.name == name }) else { return nil }
    return Listener(try socket.core(kind, policy), framing, mode, maximumFrameSize)
  }

  /// All listening sockets that a service manager has passed to this process, in their order; see
  /// ``inherited(named:framing:mode:maximumFrameSize:kind:accepting:)``.
  ///
  /// - Parameter name: nil: whatever their names are.
  /// - Throws: ``EndpointError``. If one of them does not fit, none is taken over.
  public static func allInherited<F: Framing>(
    named name: String? = nil, framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize, kind: ConnectionKind = .stream,
    accepting policy: AcceptPolicy = .anyone
  ) throws(EndpointError) -> [(name: String, listener: Listener)] where Connection == MessageDuplex<F> {
    try InheritedSockets.cores(named: name, kind, policy).map { socket in
      (socket.name, Listener(socket.core, framing, mode, maximumFrameSize))
    }
  }

  /// A listening socket that a service manager has passed to this process, for raw connections; see
  /// ``inherited(named:framing:mode:maximumFrameSize:kind:accepting:)``.
  public static func inherited(
    named name: String, mode: ReceiveMode = .readAhead, kind: ConnectionKind = .stream,
    accepting policy: AcceptPolicy = .anyone
  ) throws(EndpointError) -> Listener? where Connection == SocketDuplex {
    guard let socket = try InheritedSockets.all().first(where: { $0.name == name }) else { return nil }
    return Listener(try socket.core(kind, policy), mode)
  }
}

/// A descriptor that a service manager has passed.
package struct InheritedSocket: Hashable, Sendable {
  package let number: Int32
  package let name: String

  /// Takes the descriptor over.
  func core(_ kind: ConnectionKind, _ policy: AcceptPolicy) throws(EndpointError) -> ListenerCore {
    try take()
    return try coreOfTaken(kind, policy)
  }

  fileprivate func take() throws(EndpointError) {
    guard InheritedDescriptors.take(number) else {
      throw EndpointError(.busy, subject: .environmentVariable("LISTEN_FDS"))
    }
  }

  fileprivate func coreOfTaken(
    _ kind: ConnectionKind, _ policy: AcceptPolicy
  ) throws(EndpointError) -> ListenerCore {
    do throws(EndpointError) {
      return try ListenerCore(.descriptor(number), kind, backlog: 0, .mode(0), policy)
    } catch {
      InheritedDescriptors.putBack(number)
      throw error
    }
  }
}

/// The sockets that a service manager has passed to this process.
package enum InheritedSockets {
  /// The first descriptor (SD_LISTEN_FDS_START).
  private static var start: Int32 { 3 }

  /// Read once, because the variables describe how the process was started.
  private static let found: Result<[InheritedSocket], EndpointError> = Result {
    () throws(EndpointError) in
    let sockets = try parse(
      { ChildEnvironment.value(of: $0) }, processID: swsys_process_id(), processIdentity: { identity })
    for socket in sockets { try closeOnExec(socket.number) }
    return sockets
  }

  static func all() throws(EndpointError) -> [InheritedSocket] { try found.get() }

  /// Takes over all sockets of that name, or none.
  static func cores(
    named name: String?, _ kind: ConnectionKind, _ policy: AcceptPolicy
  ) throws(EndpointError) -> [(name: String, core: ListenerCore)] {
    let wanted = try all().filter { name == nil || $0.name == name }
    for socket in wanted { try ListenerCore.check(socket.number, kind, policy) }
    // All are reserved before any is changed.
    var taken: [InheritedSocket] = []
    do throws(EndpointError) {
      for socket in wanted {
        try socket.take()
        taken.append(socket)
      }
    } catch {
      for socket in taken { InheritedDescriptors.putBack(socket.number) }
      throw error
    }
    var cores: [(name: String, core: ListenerCore)] = []
    for socket in wanted { cores.append((socket.name, try socket.coreOfTaken(kind, policy))) }
    return cores
  }

  private static func closeOnExec(_ number: Int32) throws(EndpointError) {
    do throws(TransportError) {
      _ = try checked(.adopt, swsys_set_close_on_exec(number, true))
    } catch {
      throw EndpointError(.transport(error), subject: .environmentVariable("LISTEN_FDS"))
    }
  }

  private static var identity: UInt64? {
    var found: UInt64 = 0
    return unsafe swsys_process_pidfd_id(&found) < 0 ? nil : found
  }

  /// Parses the contents of the variables.
  ///
  /// - Parameters:
  ///   - value: the value of a variable.
  ///   - processIdentity: the inode of this process's pidfd, if the kernel has one for each process.
  package static func parse(
    _ value: (String) -> String?, processID: Int32, processIdentity: () -> UInt64?
  ) throws(EndpointError) -> [InheritedSocket] {
    guard let process = value("LISTEN_PID"), let text = value("LISTEN_FDS") else { return [] }
    guard let wanted = Int32(process), wanted > 0 else { throw invalid("LISTEN_PID") }
    if wanted != processID { return [] }
    if let text = value("LISTEN_PIDFDID") {
      guard let wanted = UInt64(text) else { throw invalid("LISTEN_PIDFDID") }
      // An older kernel has no such identity, so the check of the process id has to do.
      if let identity = processIdentity(), identity != wanted { return [] }
    }
    guard let count = Int32(text), (0...1_048_576).contains(count) else { throw invalid("LISTEN_FDS") }
    var names = [String](repeating: "unknown", count: Int(count))
    if let text = value("LISTEN_FDNAMES") {
      let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      names = text.isEmpty && count == 0 ? [] : parts
      guard names.count == Int(count) else {
        throw invalid("LISTEN_FDNAMES", "\(names.count) names, but LISTEN_FDS is \(count)")
      }
    }
    return names.enumerated().map { InheritedSocket(number: start + Int32($0.offset), name: $0.element) }
  }

  private static func invalid(_ variable: String, _ explanation: String = "") -> EndpointError {
    EndpointError(
      .transport(TransportError(.adopt, .invalidArgument)), subject: .environmentVariable(variable),
      explanation: explanation)
  }
}
