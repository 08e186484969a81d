public import SWIO

/// A message, with what its sender sent beside it.
public struct ReceivedMessage<Message> {
  public var message: Message

  /// The descriptors that came with it; nil if none came. They are close-on-exec, and each is to be taken: those that
  /// are not are closed with the last reference.
  public var descriptors: ReceivedDescriptors?

  /// Whether descriptors came that are lost, because they were more than the endpoint's limit or than this process may
  /// open. They are closed. The message is whole.
  public var lostDescriptors: Bool

  /// The address of the sender of a datagram; nil if the sender has no address, and on a stream.
  public var sender: SocketAddress?

  /// The process that sent it, as the kernel knows it; nil if the endpoint has not asked for it.
  public var credentials: SenderCredentials?

  public init(
    _ message: Message, descriptors: ReceivedDescriptors? = nil, lostDescriptors: Bool = false,
    sender: SocketAddress? = nil, credentials: SenderCredentials? = nil
  ) {
    self.message = message
    self.descriptors = descriptors
    self.lostDescriptors = lostDescriptors
    self.sender = sender
    self.credentials = credentials
  }

  init(_ message: Message, _ ancillary: Ancillary?) {
    self.init(
      message, descriptors: ancillary?.descriptors, lostDescriptors: ancillary?.lostDescriptors ?? false,
      sender: ancillary?.sender, credentials: ancillary?.credentials)
  }
}

extension ReceivedMessage: Sendable where Message: Sendable {}

/// Bytes of a stream or a datagram, with what their sender sent beside them.
public typealias ReceivedBytes = ReceivedMessage<[UInt8]>

extension ReceivedBytes {
  /// The bytes.
  public var bytes: [UInt8] {
    get { message }
    set { message = newValue }
  }
}
