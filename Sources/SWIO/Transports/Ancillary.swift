internal import Synchronization
public import SystemPackage

/// The control data that came with the bytes of a message: descriptors, the sender's address, the sender's credentials.
///
/// Descriptors arrive only at an endpoint that asks for them, with their own message, exactly once. Credentials arrive
/// only at an endpoint that asks for credentials.
public struct Ancillary: Sendable {
  /// The descriptors that the sender passed; nil if none came.
  public var descriptors: ReceivedDescriptors?

  /// Whether descriptors are missing because of the kernel or of the endpoint's limit. Those are closed. The bytes are
  /// complete.
  public var lostDescriptors: Bool

  /// The address of the sender of a datagram; nil if the sender has no address, and on a stream.
  public var sender: SocketAddress?

  /// The process that sent the bytes, as the kernel knows it; nil if the endpoint has not asked for it. Of a message on a
  /// stream it is the one that sent the last byte.
  ///
  /// A stream keeps the credentials of the last sixteen senders whose bytes no receive has returned. A receive that takes bytes
  /// of earlier ones alone, because it asks for less than the one before it, finds nil.
  public var credentials: SenderCredentials?

  public init(
    descriptors: ReceivedDescriptors? = nil, lostDescriptors: Bool = false, sender: SocketAddress? = nil,
    credentials: SenderCredentials? = nil
  ) {
    self.descriptors = descriptors
    self.lostDescriptors = lostDescriptors
    self.sender = sender
    self.credentials = credentials
  }

  /// Whether it has no descriptors, no address and no credentials.
  public var isEmpty: Bool {
    descriptors == nil && !lostDescriptors && sender == nil && credentials == nil
  }
}

/// The process that sent a message over a Unix socket, as the kernel knows it (`SCM_CREDENTIALS`, unix(7)).
///
/// The process may have ended since, and its number may have been given to another process.
public struct SenderCredentials: Hashable, Sendable {
  public var processID: Int32
  public var userID: UInt32
  public var groupID: UInt32

  public init(processID: Int32, userID: UInt32, groupID: UInt32) {
    self.processID = processID
    self.userID = userID
    self.groupID = groupID
  }
}

/// Descriptors that came with a message. They are close-on-exec.
///
/// Each is taken once. Those that nobody has taken are closed with the last reference, on a thread of the library's
/// own: closing a descriptor that a peer has chosen can take as long as the peer likes. Safe to use from any
/// thread and task.
public final class ReceivedDescriptors: Sendable {
  /// How many descriptors came.
  public let count: Int
  /// The descriptors in reverse order.
  private let rest: Guarded<[FileDescriptor]>
  /// Closes those that nobody takes. One socket's descriptors share it, because it is what limits the socket's peer.
  private let unwanted: UnwantedDescriptors

  /// Takes the descriptors over.
  public convenience init(_ descriptors: [FileDescriptor]) {
    self.init(descriptors, unwanted: UnwantedDescriptors())
  }

  /// Takes over descriptors that have come over a socket with these unwanted ones.
  init(_ descriptors: [FileDescriptor], unwanted: UnwantedDescriptors) {
    count = descriptors.count
    rest = Guarded(descriptors.reversed())
    self.unwanted = unwanted
  }

  /// Takes the first descriptor that has not been taken; nil if there is none.
  public func take() -> OwnedDescriptor? {
    guard let descriptor = takeNext() else { return nil }
    PassedSockets.add(descriptor.rawValue)
    return OwnedDescriptor(adopting: descriptor)
  }

  private func takeNext() -> FileDescriptor? { rest.withLock { $0.popLast() } }

  /// Removes and returns all descriptors that have not been taken, in order.
  package func takeAll() -> [FileDescriptor] {
    rest.withLock { rest in
      defer { rest = [] }
      return rest.reversed()
    }
  }

  /// The first descriptors of all of these, which come over the same socket, as those of one message; nil if there are none.
  /// The others stay where they are.
  package static func joined(
    _ parts: [ReceivedDescriptors], atMost limit: Int
  ) -> ReceivedDescriptors? {
    guard let first = parts.first else { return nil }
    if parts.count == 1, first.count <= limit { return first }
    var kept: [FileDescriptor] = []
    for part in parts {
      while kept.count < limit, let next = part.takeNext() { kept.append(next) }
    }
    return kept.isEmpty ? nil : ReceivedDescriptors(kept, unwanted: first.unwanted)
  }

  deinit { unwanted.close(takeAll().map(\.rawValue)) }
}

/// The control data of a send. The descriptors stay the sender's, who keeps them open until the call has ended.
public struct OutgoingAncillary: Sendable {
  /// The descriptors to pass: at most 253.
  public var descriptors: [FileDescriptor]
  /// The destination of a datagram. If it is nil, the datagram goes to the peer.
  public var address: SocketAddress?

  public init(descriptors: [FileDescriptor] = [], address: SocketAddress? = nil) {
    self.descriptors = descriptors
    self.address = address
  }
}
