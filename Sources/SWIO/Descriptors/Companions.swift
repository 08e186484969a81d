internal import Synchronization
public import SystemPackage

/// What came beside the bytes of a receive: descriptors that the sender passed, and its address where the
/// transport carries datagrams.
///
/// The descriptors are close-on-exec. Those that nobody takes are closed with the last reference. Safe to use
/// from any thread and task; each descriptor is taken once.
public final class Companions: Sendable {
  /// Who sent it; nil where the transport does not say: a stream, a sender without a name.
  public let sender: SocketAddress?
  /// How many descriptors came.
  public let descriptorCount: Int
  private let descriptors: Guarded<[FileDescriptor]>

  /// Takes the descriptors over.
  public init(descriptors: [FileDescriptor], sender: SocketAddress?) {
    self.sender = sender
    descriptorCount = descriptors.count
    self.descriptors = Guarded(descriptors.reversed())
  }

  /// Takes the first descriptor that has not been taken.
  public func takeDescriptor() -> OwnedDescriptor? {
    guard let descriptor = descriptors.withLock({ $0.popLast() }) else { return nil }
    return OwnedDescriptor(adopting: descriptor)
  }

  deinit { while takeDescriptor() != nil {} }
}
