internal import CSysShim
internal import Synchronization
internal import SystemPackage

/// A stream socket of the Unix domain, TCP, or another protocol.
package final class StreamSocket: DescriptorTransport {
  package let number: Int32
  package var working: Int32 { number }
  private let isUnix: Bool
  /// Whether a short read has taken all that was there, unless it met a barrier. That holds for plain TCP and Unix sockets, and only
  /// for those. SCTP, for example, ends a read with every message.
  private let drains: Bool
  /// Whether a read has stopped at control data: descriptors, another writer's credentials, a record of the kernel's TLS.
  /// More data may be behind such a barrier, and more barriers are likely.
  private let hasBarriers = Atomic(false)

  private let ownership: SoleOwnership
  /// Whether a read has found the end, behind everything that the peer has sent.
  private let hasEnded = Atomic(false)
  /// The descriptors that the peer has passed and nobody wants; nil until it passes some.
  @exclusivity(unchecked)
  // Invariant: only attempts to receive use it, one at a time.
  private nonisolated(unsafe) var unwanted: UnwantedDescriptors?

  convenience init(_ number: Int32) {
    let isUnix = swsys_is_unix(number)
    self.init(number, isUnix: isUnix, drains: isUnix || swsys_is_tcp(number))
  }

  /// Makes the transport of a socket with known properties.
  init(_ number: Int32, isUnix: Bool, drains: Bool, isSole: Bool = false) {
    self.number = number
    ownership = SoleOwnership(number, isSole)
    self.isUnix = isUnix
    self.drains = drains
    // Otherwise the kernel drops out-of-band bytes in passing, and closes the descriptors that came with them on the
    // receiving thread. The option belongs to the socket, and stays when it is detached.
    if isUnix { _ = swsys_inline_out_of_band(number) }
  }

  /// A Unix socket closes what its peer has sent along, unless all of it has been received; TCP waits if it has been told to.
  package var mayTakeLongToClose: Bool {
    isUnix
      ? !(hasEnded.load(ordering: .relaxed) && KernelFeatures.collectsInBackground)
      : !drains || swsys_lingers(number)
  }

  package func isCloseUpToPeer() -> Bool {
    if !isUnix { return PassedSockets.contains(number) || swsys_lingers(number) }
    return !hasEnded.load(ordering: .relaxed)
      && swsys_unix_close_is_up_to_peer(number, swsys_sock_stream, ownership.holds)
  }

  package func noteSole() { ownership.begin(number) }
  package func noteShared() { ownership.end() }

  package var drainsInOneReceive: Bool { drains && !hasBarriers.load(ordering: .relaxed) }

  // MARK: Receiving

  package func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    // If there is no room for descriptors, the kernel closes them on the receiving thread, before that thread has its bytes.
    // The close can take as long as the peer likes. So a Unix socket always has room for them, and another thread closes
    // those that no caller has asked for.
    if unsafe unwanted?.areTooMany ?? false { return .retryLater }
    var found: UnsafeMutablePointer<swsys_ancillary>?
    let result = unsafe swsys_receive_message(
      number, memory.baseAddress, memory.count, isUnix ? SWSYS_UNIX_BYTES : SWSYS_BYTES, &found)
    if let found = unsafe found {
      hasBarriers.store(true, ordering: .relaxed)
      _ = unsafe Ancillary(taking: found, maximumDescriptors: 0, unwanted: &unwanted)
    }
    return received(result)
  }

  package func receive(
    into memory: UnsafeMutableRawBufferPointer, maximumDescriptors: Int, ancillary: inout Ancillary?
  ) -> Attempt {
    // Other control data, such as a time, is no descriptor that was lost.
    guard isUnix else { return unsafe receive(into: memory) }
    if unsafe unwanted?.areTooMany ?? false { return .retryLater }
    var found: UnsafeMutablePointer<swsys_ancillary>?
    let result = unsafe swsys_receive_message(
      number, memory.baseAddress, memory.count, SWSYS_UNIX_BYTES, &found)
    if let found = unsafe found {
      hasBarriers.store(true, ordering: .relaxed)
      ancillary = unsafe Ancillary(
        taking: found, maximumDescriptors: maximumDescriptors, unwanted: &unwanted)
    }
    return received(result)
  }

  private func received(_ result: Int) -> Attempt {
    if result == 0 {
      hasEnded.store(true, ordering: .relaxed)
      return .endOfStream
    }
    if isTransient(result) { return .retryLater }
    return Attempt(.receive, result: result)
  }

  package func peek(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    let result = unsafe swsys_peek(number, memory.baseAddress, memory.count)
    return result == 0 ? .endOfStream : Attempt(.receive, result: result)
  }

  package func setReceivesCredentials(_ receives: Bool) throws(TransportError) {
    guard isUnix else { throw TransportError(.receive, .notSupported) }
    _ = try checked(.receive, swsys_set_receives_credentials(number, receives))
  }

  // MARK: Sending

  package func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    Self.sent(unsafe withVector(bytes) { unsafe swsys_sendv(number, $0, $1) })
  }

  package func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    Self.sent(unsafe withVectors(parts) { unsafe swsys_sendv(number, $0, $1) })
  }

  package func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, with ancillary: OutgoingAncillary
  ) -> Attempt {
    let result = unsafe sendMessage(number, parts, ancillary)
    // Nothing has been sent. Unless the connection itself is at fault, the descriptors or the address are.
    let isConnections = [Errno.brokenPipe, .connectionReset, .socketNotConnected].contains {
      result == -Int($0.rawValue)
    }
    return isConnections || isTransient(result)
      ? Self.sent(result) : Attempt(.send, result: result, scope: .item)
  }

  private static func sent(_ result: Int) -> Attempt {
    if isTransient(result) { return .retryLater }
    return Attempt(.send, result: result)
  }

  package func finishSending() throws(TransportError) { try finishSendingOfSocket(number) }
}

/// Half-closes a connected socket.
func finishSendingOfSocket(_ number: Int32) throws(TransportError) {
  let result = swsys_shutdown_send(number)
  // A peer that is gone already need not be told.
  if result == -Errno.socketNotConnected.rawValue { return }
  _ = try checked(.finishSending, result)
}

/// Whether the kernel lacks memory, or room for descriptors in flight. Both are temporary, and no readiness announces their
/// end.
func isTransient(_ result: Int) -> Bool {
  result < 0
    && [Errno.noBufferSpace, .noMemory, .tooManyReferences].contains { result == -Int($0.rawValue) }
}

/// Calls `sendmsg` with descriptors, or to an address. Only Unix sockets pass descriptors. On any other socket the kernel
/// drops them without an error.
func sendMessage(
  _ number: Int32, _ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, _ ancillary: OutgoingAncillary
) -> Int {
  let numbers = ancillary.descriptors.map(\.rawValue)
  if !numbers.isEmpty, !swsys_is_unix(number) { return -Int(Errno.notSupported.rawValue) }
  return unsafe numbers.withUnsafeBufferPointer { numbers in
    unsafe (ancillary.address?.bytes ?? []).withUnsafeBytes { address in
      unsafe withVectors(parts) { vectors, count in
        unsafe swsys_send_accompanied(
          number, vectors, count, numbers.baseAddress, Int32(numbers.count), address.baseAddress,
          UInt32(address.count))
      }
    }
  }
}

extension Ancillary {
  /// The ancillary data that a receive found. Surplus descriptors are closed on a separate thread. If the kernel has cut
  /// some off, all descriptors of the message are closed. Nil if nothing is left.
  ///
  /// - Parameter unwanted: those of the socket, which are made if descriptors have come.
  init?(
    taking found: UnsafeMutablePointer<swsys_ancillary>, maximumDescriptors: Int,
    unwanted: inout UnwantedDescriptors?
  ) {
    self.init()
    defer { unsafe swsys_free_ancillary(found) }
    // Closing a pidfd never takes long.
    if unsafe found.pointee.pidfd >= 0 { unsafe OwnedDescriptor.closeAtOnce(found.pointee.pidfd) }
    let numbers = unsafe withUnsafeBytes(of: found.pointee.descriptors) { bytes in
      unsafe Array(bytes.bindMemory(to: Int32.self).prefix(Int(found.pointee.descriptor_count)))
    }
    let kept = unsafe numbers.prefix(found.pointee.is_control_cut ? 0 : maximumDescriptors)
    if !numbers.isEmpty {
      let others = unwanted ?? UnwantedDescriptors()
      unwanted = others
      others.close(Array(numbers.dropFirst(kept.count)))
      if !kept.isEmpty {
        descriptors = ReceivedDescriptors(kept.map { FileDescriptor(rawValue: $0) }, unwanted: others)
      }
    }
    lostDescriptors =
      unsafe maximumDescriptors > 0 && (kept.count < numbers.count || found.pointee.is_control_cut)
    if unsafe found.pointee.has_credentials {
      credentials = unsafe SenderCredentials(
        processID: found.pointee.pid, userID: found.pointee.uid, groupID: found.pointee.gid)
    }
    let address = unsafe withUnsafeBytes(of: found.pointee.address) {
      unsafe Array($0.prefix(Int(found.pointee.address_length)))
    }
    // The address of a sender without a name consists only of its family.
    if address.count > 2 { sender = SocketAddress(bytes: address) }
    if isEmpty { return nil }
  }
}
