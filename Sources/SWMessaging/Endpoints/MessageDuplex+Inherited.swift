internal import SWFraming
internal import SWIO
internal import Synchronization
internal import SystemPackage

extension MessageDuplex {
  /// The channel to the process that spawned this one: takes over the descriptor whose number an
  /// environment variable tells, and marks it close-on-exec, so that children of this process do not
  /// inherit it in turn.
  ///
  ///     let parent = try MessageDuplex(inheritedFrom: "SOCKETWRAPPER_FD", framing: .varInt)
  ///
  /// It can be taken once: the number may belong to another file afterwards, and the variable does not tell.
  ///
  /// - Parameter variable: the variable's name.
  /// - Throws: ``EndpointError`` `transport` with the operation `adopt`: ENOENT when there is no such
  ///   variable, EINVAL when it holds no number, EBADF when that is not the number of an open descriptor
  ///   that can be read and written; `busy` when it has been taken already.
  public convenience init(
    inheritedFrom variable: String = ChildChannel.variable, framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) {
    guard let value = ChildEnvironment.value(of: variable) else {
      throw EndpointError(
        .transport(TransportError(.adopt, .noSuchFileOrDirectory)), subject: .environmentVariable(variable))
    }
    guard let number = Int32(value), number >= 0 else {
      throw EndpointError(
        .transport(TransportError(.adopt, .invalidArgument)), subject: .environmentVariable(variable))
    }
    guard InheritedDescriptors.take(number) else {
      throw EndpointError(.busy, subject: .environmentVariable(variable))
    }
    do throws(EndpointError) {
      try self.init(adopting: number, framing: framing, mode: mode, maximumFrameSize: maximumFrameSize)
    } catch {
      InheritedDescriptors.putBack(number)
      throw error.about(.environmentVariable(variable))
    }
    try setInheritable(false)
  }
}

/// The descriptors that this process has inherited and taken over.
enum InheritedDescriptors {
  private static let taken = Guarded<Set<Int32>>([])

  static func take(_ number: Int32) -> Bool { taken.withLock { $0.insert(number).inserted } }

  static func putBack(_ number: Int32) { _ = taken.withLock { $0.remove(number) } }
}
