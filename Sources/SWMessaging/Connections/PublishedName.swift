internal import CSysShim
internal import SWIO
internal import Synchronization
internal import SystemPackage

/// The name of a listening Unix socket in its directory.
///
/// A socket is bound to a private name, gets its permissions, and listens. Only then it gets its public name by `link(2)`,
/// which never replaces a file. So no client finds a name at which nobody listens, and the file has its permissions from the
/// first moment.
///
/// If the name is taken, a probe tells whether a process has that socket: connecting a socket of another type fails with
/// EPROTOTYPE if one has, listening or not yet, and with ECONNREFUSED if none has. The server does not notice the probe. A
/// socket that no process has is replaced by exchanging the two names (`renameat2(2)`). Then the displaced file is examined
/// again under the private name. If it is not the file that was probed, it came in between, and it gets its name back. On a
/// file system without an exchange `rename(2)` replaces the name, and nothing is examined afterwards.
/// Processes that replace a name hold a lock of the directory (`flock(2)`), so only one replaces at a time. A process waits
/// for that lock for one second at most. Without the lock the exchange is still safe against processes that bind in place.
///
/// On a file system without links `RENAME_NOREPLACE` does the same. If that is missing, too, the socket is bound in place. A
/// datagram socket is always bound in place: it needs no step between bind and receive, and its peers answer to the address
/// that it was bound to. It replaces another socket by renaming that one first, and then examines it under its new name as
/// above.
package final class PublishedName: Sendable {
  /// The features that a test makes the file system refuse.
  package struct Refusals: OptionSet, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
    package static var link: Refusals { Refusals(rawValue: 1) }
    package static var rename: Refusals { Refusals(rawValue: 2) }
    package static var lock: Refusals { Refusals(rawValue: 4) }
    package static var proc: Refusals { Refusals(rawValue: 8) }
  }

  @TaskLocal package static var refusals: Refusals = []

  /// Why a socket could not be published.
  struct Failure: Error, Sendable {
    let error: TransportError
    let explanation: String

    init(_ operation: TransportError.Operation, _ errno: Errno, _ explanation: String = "") {
      error = TransportError(operation, errno)
      self.explanation = explanation
    }
  }

  /// The directory of the name. Nil when the name has been given up.
  private let directory: Guarded<NameDirectory?>
  private let name: [CChar]
  private let identity: swsys_identity

  private init(_ directory: NameDirectory, _ name: [CChar], _ identity: swsys_identity) {
    self.directory = Guarded(directory)
    self.name = name
    self.identity = identity
  }

  /// Publishes a socket at a path. It listens, unless it is a datagram socket.
  static func listen(
    at path: FilePath, _ kind: ConnectionKind, _ file: SocketFile, backlog: Int32
  ) throws(Failure) -> (socket: FreshDescriptor, name: PublishedName) {
    let bytes = path.bytes
    let slash = bytes.lastIndex(of: UInt8(ascii: "/"))
    let name = bytes[(slash.map { $0 + 1 } ?? 0)...].map { CChar(bitPattern: $0) } + [0]
    let parent = slash.map { Array(bytes[..<max($0, 1)]) } ?? [UInt8(ascii: ".")]
    let directory = try NameDirectory(parent)
    let (socket, identity) = try Publisher(directory, name, kind, file, backlog).publish()
    return (socket, PublishedName(directory, name, identity))
  }

  /// Removes the name once, if it still belongs to this socket. Never fails: a name that cannot be removed stays.
  func remove() {
    guard let directory = directory.withLock({ $0.take() }) else { return }
    // A process that takes the name over holds the lock meanwhile.
    directory.withLock(tries: 5) {
      if let found = directory.identity(of: name), found.isSame(as: identity) { _ = directory.unlink(name) }
    }
  }
}

extension swsys_identity {
  func isSame(as other: swsys_identity) -> Bool { device == other.device && inode == other.inode }
}

/// A directory in which names are made, exchanged and removed.
final class NameDirectory: Sendable {
  private let descriptor: OwnedDescriptor
  private let path: [UInt8]

  init(_ path: [UInt8]) throws(PublishedName.Failure) {
    self.path = path
    do throws(TransportError) {
      descriptor = try OwnedDescriptor.place(FilePath(bytes: path), isDirectory: true, .bind)
    } catch {
      throw PublishedName.Failure(.bind, error.errno, "the directory cannot be used")
    }
  }

  private var number: Int32 { descriptor.withDescriptor { $0.rawValue } }

  /// The identity of the file. Nil if there is no such name.
  func identity(of name: [CChar]) -> swsys_identity? {
    var found = swsys_identity()
    return unsafe swsys_identify(number, name, &found) < 0 ? nil : found
  }

  func link(_ from: [CChar], _ to: [CChar]) -> Int32 {
    if PublishedName.refusals.contains(.link) { return -Errno.notPermitted.rawValue }
    return unsafe swsys_link(number, from, to)
  }

  func renameExclusively(_ from: [CChar], _ to: [CChar]) -> Int32 {
    if PublishedName.refusals.contains(.rename) { return -Errno.invalidArgument.rawValue }
    return unsafe swsys_rename_exclusively(number, from, to)
  }

  func exchange(_ from: [CChar], _ to: [CChar]) -> Int32 {
    if PublishedName.refusals.contains(.rename) { return -Errno.invalidArgument.rawValue }
    return unsafe swsys_exchange(number, from, to)
  }

  /// Replaces the second name. It is missing at no moment.
  func rename(_ from: [CChar], _ to: [CChar]) -> Int32 { unsafe swsys_rename(number, from, to) }

  func unlink(_ name: [CChar]) -> Int32 { unsafe swsys_unlink(number, name) }

  func setMode(of name: [CChar], _ mode: UInt32) -> Int32 { unsafe swsys_set_mode_of(number, name, mode) }

  /// Runs `body` under the lock of the processes that replace a name in this directory, or without the lock if it cannot be
  /// had.
  ///
  /// - Parameter tries: how often to try to lock, 1 ms apart.
  func withLock<Result, Failure: Error>(
    tries: Int, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let lock = lock(tries: tries)
    defer { if let lock { OwnedDescriptor.closeAtOnce(lock) } }
    return try body()
  }

  private func lock(tries: Int) -> Int32? {
    if PublishedName.refusals.contains(.lock) { return nil }
    for _ in 0..<tries {
      let result = swsys_lock_directory(number)
      if result >= 0 { return result }
      if result != -Errno.wouldBlock.rawValue { return nil }
      _ = swsys_wait(-1, 0, -1, 1_000_000)
    }
    return nil
  }

  /// Returns the address of a name in this directory. Returns nil if the name does not fit. The path as given is preferred,
  /// because other processes see it.
  ///
  /// - Parameter direct: whether to use the path as given. Otherwise the address goes through the descriptor.
  func address(of name: [CChar], direct: Bool) -> SocketAddress? {
    let bytes = name.dropLast().map { UInt8(bitPattern: $0) }
    if direct {
      let start =
        path == [UInt8(ascii: ".")] ? [] : path.last == UInt8(ascii: "/") ? path : path + Array("/".utf8)
      return (start + bytes).count > 107 ? nil : SocketAddress(unixPathBytes: start + bytes)
    }
    if PublishedName.refusals.contains(.proc) { return nil }
    let start = Array("/proc/self/fd/\(number)/".utf8)
    return (start + bytes).count > 107 ? nil : SocketAddress(unixPathBytes: start + bytes)
  }
}
