internal import CSysShim
internal import SWIO
internal import SystemPackage

/// Publishes one socket; `PublishedName` says how.
struct Publisher {
  typealias Failure = PublishedName.Failure
  typealias Published = (socket: FreshDescriptor, identity: swsys_identity)

  private let directory: NameDirectory
  private let name: [CChar]
  private let kind: ConnectionKind
  private let file: SocketFile
  private let backlog: Int32

  init(
    _ directory: NameDirectory, _ name: [CChar], _ kind: ConnectionKind, _ file: SocketFile, _ backlog: Int32
  ) {
    self.directory = directory
    self.name = name
    self.kind = kind
    self.file = file
    self.backlog = backlog
  }

  /// How often to try again if the name changes meanwhile.
  private static var tries: Int { 1_000 }

  func publish() throws(Failure) -> Published {
    // Peers see the address to which a datagram socket was bound, and answer to it. So it has no private name.
    if kind == .datagrams { return try bindInPlace() }
    let (socket, privateName) = try bindPrivately()
    do throws(Failure) {
      guard let identity = directory.identity(of: privateName) else {
        throw Failure(.bind, .noSuchFileOrDirectory, "the socket's file has been removed")
      }
      if identity.mode != file.permissions {
        // The umask has cleared some of the permissions.
        try check(.bind, directory.setMode(of: privateName, file.permissions))
      }
      try listen(socket)
      if try move(privateName, identity) { return (socket, identity) }
    } catch {
      _ = directory.unlink(privateName)
      throw error
    }
    _ = directory.unlink(privateName)
    return try bindInPlace()
  }

  // MARK: The private name

  /// Makes a name from the process id and a random number, such as `.app.sock.4711.1f3a5b7c`, cut to the limit.
  private func privateName(atMost limit: Int) -> [CChar]? {
    let digits = String(UInt32.random(in: 0x1000_0000...UInt32.max), radix: 16)
    let end = ".\(swsys_process_id()).\(digits)".utf8.map { CChar(bitPattern: $0) }
    let room = min(limit, 255) - end.count - 1
    if room < 0 { return nil }
    return [CChar(bitPattern: UInt8(ascii: "."))] + name.dropLast().prefix(room) + end + [0]
  }

  private func bindPrivately() throws(Failure) -> (FreshDescriptor, [CChar]) {
    var last = Failure(.bind, .fileNameTooLong, "the path is too long, and /proc is not there to shorten it")
    for direct in [true, false] {
      // The room for the name is what a name of one byte leaves.
      guard let shortest = directory.address(of: [46, 0], direct: direct) else { continue }
      let room = 107 - (shortest.bytes.count - 4)
      for _ in 0..<10 {
        guard let privateName = privateName(atMost: room),
          let address = directory.address(of: privateName, direct: direct)
        else { break }
        let socket = try makeSocket()
        let result = socket.call { $0.bind(to: address) }
        if result >= 0 { return (socket, privateName) }
        last = Failure(.bind, Errno(rawValue: -result))
        // By chance, a file of that name exists.
        if last.error.errno != .addressInUse { break }
      }
      // Without /proc there is no address through the descriptor.
      if last.error.errno != .fileNameTooLong, last.error.errno != .noSuchFileOrDirectory { throw last }
    }
    throw last
  }

  private func makeSocket() throws(Failure) -> FreshDescriptor {
    do throws(TransportError) {
      let socket = try OwnedDescriptor.socket(for: .unnamedUnix, kind, .bind)
      // The file gets the mode of the socket, less the umask.
      _ = try checked(.bind, socket.withDescriptor { swsys_set_mode($0.rawValue, file.permissions) })
      return FreshDescriptor(socket, kind, isUnix: true)
    } catch {
      throw Failure(error.operation, error.errno)
    }
  }

  private func listen(_ socket: FreshDescriptor) throws(Failure) {
    if kind == .datagrams { return }
    try check(.listen, socket.call { swsys_listen($0.rawValue, backlog) })
  }

  private func check(_ operation: TransportError.Operation, _ result: Int32) throws(Failure) {
    if result < 0 { throw Failure(operation, Errno(rawValue: -result)) }
  }

  // MARK: The name

  /// Gives the socket its name.
  ///
  /// - Returns: false if the file system does not support it.
  private func move(_ privateName: [CChar], _ identity: swsys_identity) throws(Failure) -> Bool {
    for _ in 0..<Self.tries {
      var result = directory.link(privateName, name)
      if result == 0 {
        _ = directory.unlink(privateName)
        return true
      }
      if !isPresent(result) { result = directory.renameExclusively(privateName, name) }
      if result == 0 { return true }
      guard isPresent(result) else { return false }
      if try replace(privateName) { return true }
    }
    throw Failure(.publish, .addressInUse, "other processes replace the file again and again")
  }

  private func isPresent(_ result: Int32) -> Bool { result == -Errno.fileExists.rawValue }
  private func isMissing(_ result: Int32) -> Bool { result == -Errno.noSuchFileOrDirectory.rawValue }

  /// Whether the file system does not know an operation. Any other error is about these files: for example, in a directory
  /// with the sticky bit the file may belong to another user.
  private func isUnsupported(_ result: Int32) -> Bool {
    let errno = Errno(rawValue: -result)
    return errno == .invalidArgument || errno == .noFunction || errno == .notSupportedOnSocket
  }

  private func checkReplaced(_ result: Int32) throws(Failure) {
    if result < 0 {
      throw Failure(.publish, Errno(rawValue: -result), "the socket that is there cannot be replaced")
    }
  }

  /// The next step for the socket that has the name.
  private enum Verdict {
    case replace
    /// The socket is gone. Try to publish again.
    case again
  }

  private func judge(_ found: swsys_identity?) throws(Failure) -> Verdict {
    guard let found else { return .again }
    guard found.is_socket else {
      throw Failure(
        .publish, .notSocket, "there is something else than a socket at the path, which is left alone")
    }
    switch file.ifPresent {
    case .takeOver: return .replace
    case .refuse: throw Failure(.publish, .addressInUse, "a socket is there already")
    case .replaceStale:
      switch probe(name) {
      case .dead: return .replace
      case .none: return .again
      case .live: throw Failure(.publish, .addressInUse, "another process has that socket")
      case .unknown(let errno):
        throw Failure(.publish, .addressInUse, "whether a process has that socket cannot be told: \(errno)")
      }
    }
  }

  /// Replaces the socket that has the name.
  ///
  /// - Returns: false if another try may succeed.
  private func replace(_ privateName: [CChar]) throws(Failure) -> Bool {
    guard try judge(directory.identity(of: name)) == .replace else { return false }
    return try directory.withLock(tries: 1_000) { () throws(Failure) in try replaceLocked(privateName) }
  }

  private func replaceLocked(_ privateName: [CChar]) throws(Failure) -> Bool {
    // The process that held the lock may have replaced the socket.
    let noted = directory.identity(of: name)
    guard let noted, try judge(noted) == .replace else { return false }
    let result = directory.exchange(privateName, name)
    if isMissing(result) { return false }
    if isUnsupported(result) {
      // There is no exchange on this file system, so another socket that comes in between could not get its name back. The
      // socket that is there was probed a moment ago.
      try checkReplaced(directory.rename(privateName, name))
      return true
    }
    try checkReplaced(result)
    guard let displaced = directory.identity(of: privateName) else { return true }
    let isRight =
      displaced.is_socket
      && (file.ifPresent == .takeOver || (displaced.isSame(as: noted) && probe(privateName) == .dead))
    if isRight {
      _ = directory.unlink(privateName)
      return true
    }
    // The displaced socket came in between, so it gets its name back.
    _ = directory.exchange(privateName, name)
    return false
  }

  // MARK: Probing

  private enum Probe: Equatable {
    /// A process has the socket, whether or not it listens.
    case live
    /// No process has it.
    case dead
    case none
    case unknown(Errno)
  }

  /// Probes whether a process has the socket of that name. Its server does not notice.
  private func probe(_ name: [CChar]) -> Probe {
    // The first probe uses a datagram socket: a stream server refuses the type, and a datagram server is not told.
    switch connect(name, .datagrams) {
    case .protocolWrongTypeForSocket, .notPermitted: return .live
    case .noSuchFileOrDirectory: return .none
    case .connectionRefused: break
    case nil: return .live
    case let errno?: return .unknown(errno)
    }
    // A system that refuses every other type would give the same answer for a live socket.
    switch connect(name, kind) {
    case .connectionRefused: return .dead
    case .noSuchFileOrDirectory: return .none
    case .protocolWrongTypeForSocket, .wouldBlock, nil: return .live
    case let errno?: return .unknown(errno)
    }
  }

  private func connect(_ name: [CChar], _ kind: ConnectionKind) -> Errno? {
    guard
      let address = directory.address(of: name, direct: false) ?? directory.address(of: name, direct: true)
    else { return .fileNameTooLong }
    do throws(TransportError) {
      let socket = try OwnedDescriptor.socket(for: .unnamedUnix, kind, .publish)
      let result = socket.connect(to: address)
      return result < 0 ? Errno(rawValue: -result) : nil
    } catch {
      return error.errno
    }
  }

  // MARK: In place

  /// Binds a socket to the public name itself: a datagram socket, or any socket if the file system supports neither links
  /// nor exclusive renames. Such a stream socket has its name for a moment before it listens.
  private func bindInPlace() throws(Failure) -> Published {
    for _ in 0..<Self.tries {
      if let published = try bindOnce() { return published }
      guard try judge(directory.identity(of: name)) == .replace else { continue }
      let published = try directory.withLock(tries: 1_000) { () throws(Failure) in
        try displace() ? try bindOnce() : nil
      }
      if let published { return published }
    }
    throw Failure(.publish, .addressInUse, "other processes replace the file again and again")
  }

  /// Returns nil if the name is taken.
  private func bindOnce() throws(Failure) -> Published? {
    guard
      let address = directory.address(of: name, direct: true) ?? directory.address(of: name, direct: false)
    else { throw Failure(.bind, .fileNameTooLong) }
    let socket = try makeSocket()
    let result = socket.call { $0.bind(to: address) }
    if result == -Errno.addressInUse.rawValue { return nil }
    try check(.bind, result)
    guard let identity = directory.identity(of: name) else {
      throw Failure(.bind, .noSuchFileOrDirectory, "the socket's file has been removed")
    }
    do throws(Failure) {
      if identity.mode != file.permissions { try check(.bind, directory.setMode(of: name, file.permissions)) }
      try listen(socket)
    } catch {
      if let found = directory.identity(of: name), found.isSame(as: identity) { _ = directory.unlink(name) }
      throw error
    }
    return (socket, identity)
  }

  /// Takes the name from a socket that is to be replaced, under the lock.
  ///
  /// - Returns: false if another socket has come in between. That socket has its name again.
  private func displace() throws(Failure) -> Bool {
    guard let noted = directory.identity(of: name) else { return true }
    guard try judge(noted) == .replace, let aside = privateName(atMost: 255) else { return false }
    let result = directory.renameExclusively(name, aside)
    if isMissing(result) { return true }
    // By chance, a file of that name exists.
    if isPresent(result) { return false }
    if isUnsupported(result) {
      // There is no exclusive rename on this file system, so the socket could not be put back. It was probed a moment ago.
      let removed = directory.unlink(name)
      if !isMissing(removed) { try checkReplaced(removed) }
      return true
    }
    try checkReplaced(result)
    guard let displaced = directory.identity(of: aside) else { return true }
    let isRight =
      displaced.is_socket
      && (file.ifPresent == .takeOver || (displaced.isSame(as: noted) && probe(aside) == .dead))
    if !isRight, directory.renameExclusively(aside, name) == 0 { return false }
    _ = directory.unlink(aside)
    return isRight
  }
}
