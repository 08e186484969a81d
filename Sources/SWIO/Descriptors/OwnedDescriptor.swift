internal import CSysShim
public import SystemPackage

/// A descriptor that is closed exactly once: when its owner ends, unless ``release()`` was called.
///
/// The numbers 0 to 2 are never left free. Closing one of them points it at `/dev/null` instead: the peer sees the end,
/// and the next file that is opened does not become standard output.
public struct OwnedDescriptor: ~Copyable, Sendable {
  private let number: Int32

  /// Takes over an open descriptor. No other code may close it.
  public init(adopting descriptor: FileDescriptor) { number = descriptor.rawValue }

  /// Duplicates a descriptor (`F_DUPFD_CLOEXEC`), which stays open. Both share one open file description: its position,
  /// its flags, and for a socket everything.
  public init(duplicating descriptor: FileDescriptor) throws(TransportError) {
    number = try checked(.duplicate, swsys_duplicate(descriptor.rawValue, 3))
    if PassedSockets.contains(descriptor.rawValue) { PassedSockets.add(number) }
  }

  /// Lends the number. It must not be closed, and not be used after `body` returns.
  public borrowing func withDescriptor<Result, Failure: Error>(
    _ body: (FileDescriptor) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(FileDescriptor(rawValue: number))
  }

  /// Returns the number. The caller has to close it.
  public consuming func release() -> FileDescriptor {
    let number = number
    discard self
    return FileDescriptor(rawValue: number)
  }

  /// Whether child processes started by exec inherit the descriptor. Off from creation on.
  public borrowing func isInheritable() throws(TransportError) -> Bool {
    try Self.isInheritable(number)
  }

  /// Sets whether child processes inherit the descriptor.
  public borrowing func setInheritable(_ inheritable: Bool) throws(TransportError) {
    try Self.setInheritable(number, inheritable)
  }

  deinit { Self.close(number) }

  package static func isInheritable(_ number: Int32) throws(TransportError) -> Bool {
    try checked(.inheritance, swsys_get_close_on_exec(number)) == 0
  }

  package static func setInheritable(_ number: Int32, _ inheritable: Bool) throws(TransportError) {
    _ = try checked(.inheritance, swsys_set_close_on_exec(number, !inheritable))
  }

  /// Closes a descriptor: here, unless `close(2)` may take as long as a peer likes, or may block and this is the reactor's thread.
  ///
  /// - Parameter isSole: whether no other process has the socket, and no other number is its.
  package static func close(_ number: Int32, isSole: Bool = false) {
    if Reactor.isCurrentThread {
      CloserThread.close(number, isSole: isSole)
    } else {
      closeHereOrForPeer(number, isSole: isSole)
    }
  }

  /// Closes a descriptor on the calling thread, unless that may take as long as a peer likes.
  static func closeHereOrForPeer(_ number: Int32, isSole: Bool) {
    let isPassed = PassedSockets.remove(number)
    if !isPassed, !swsys_close_is_up_to_peer(number, isSole) { return closeHere(number) }
    let isParked =
      swsys_is_unix(number)
      ? ParkedSockets.shared.park([number]) : ParkedSockets.shared.park([], behind: [number])
    if !isParked { CloserThread.runForPeer { closeHere(number) } }
  }

  /// Closes a socket whose close may take as long as a peer likes, on another thread. Calls `done` when its number is free: the
  /// peer is told a moment later.
  package static func closeForPeer(_ number: Int32, then done: @escaping @Sendable () -> Void) {
    _ = PassedSockets.remove(number)
    if (swsys_is_unix(number) ? ParkedSockets.shared : .lone).park([number]) { return done() }
    CloserThread.runForPeer {
      closeHere(number)
      done()
    }
  }

  /// Closes a descriptor on the calling thread, which may have to wait.
  package static func closeHere(_ number: Int32) {
    if (0...2).contains(number), swsys_replace_with_null(number) == 0 { return }
    closeAtOnce(number)
  }

  /// Closes a descriptor that never takes long, on the calling thread.
  package static func closeAtOnce(_ number: Int32) {
    _ = swsys_close(number)
    DescriptorShortage.shared.noteClose()
  }
}

/// Two connected descriptors: the ends of a pipe (`first` reads, `second` writes) or of a socket pair.
@frozen
public struct DescriptorPair: ~Copyable, Sendable {
  public var first: OwnedDescriptor
  public var second: OwnedDescriptor

  public init(first: consuming OwnedDescriptor, second: consuming OwnedDescriptor) {
    self.first = first
    self.second = second
  }
}
