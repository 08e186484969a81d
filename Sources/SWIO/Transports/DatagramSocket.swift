internal import CSysShim
internal import Synchronization
internal import SystemPackage

/// A socket that carries datagrams, or packets in order that end as a stream does (SOCK_SEQPACKET).
package final class DatagramSocket: DescriptorTransport {
  package let number: Int32
  package var working: Int32 { number }
  package var content: TransportContent { .datagrams }
  /// Whether it carries packets in order that end.
  private let isPacket: Bool
  /// Whether the datagrams go over IP. Each one fits a slot of `DatagramRoom`, and none brings descriptors.
  private let isUDP: Bool
  /// Called before the descriptor is closed, on a thread that may wait. It gives up the name of a bound socket.
  private let willClose: (@Sendable () -> Void)?
  /// Whether each packet brings its mark, so that an empty one is never taken for the end.
  private let isMarked: Bool
  private let ownership: SoleOwnership
  /// Whether the end of the packets has been found, behind everything that the peer has sent.
  private let hasEnded = Atomic(false)
  /// The number of the connection's error, once an attempt to receive packets has met one.
  private let pendingErrno = Atomic<Int32>(0)
  /// The descriptors that peers have passed and nobody wants; nil until they pass some.
  // Invariant: only attempts to receive use it, one at a time.
  private nonisolated(unsafe) var unwanted: UnwantedDescriptors?

  /// - Throws: `TransportError` `adopt` with `Errno.invalidArgument` for a socket with UDP_GRO, which joins datagrams.
  package init(
    _ number: Int32, isPacket: Bool, isSole: Bool = false, willClose: (@Sendable () -> Void)? = nil
  ) throws(TransportError) {
    self.number = number
    self.isPacket = isPacket
    self.willClose = willClose
    ownership = SoleOwnership(number, isSole)
    isUDP = !isPacket && swsys_is_udp(number)
    // A receive returns 0 bytes for an empty packet and for the end. With this option only a packet brings control data.
    // The option belongs to the socket, and stays when it is detached.
    isMarked = isPacket && swsys_mark_packets(number) == 0
    if isUDP, swsys_glues_datagrams(number) { throw TransportError(.adopt, .invalidArgument) }
  }

  package var mayTakeLongToClose: Bool {
    willClose != nil
      || !isUDP && !(hasEnded.load(ordering: .relaxed) && KernelFeatures.collectsInBackground)
  }

  package func isCloseUpToPeer() -> Bool {
    if isUDP || hasEnded.load(ordering: .relaxed) { return false }
    return swsys_unix_close_is_up_to_peer(
      number, isPacket ? swsys_sock_seqpacket : swsys_sock_dgram, ownership.holds && (isMarked || !isPacket))
  }

  package func noteSole() { ownership.begin(number) }
  package func noteShared() { ownership.end() }

  package func closeNumber(then done: @escaping @Sendable () -> Void) {
    willClose?()
    if isCloseUpToPeer() { return OwnedDescriptor.closeForPeer(number, then: done) }
    OwnedDescriptor.closeHere(number)
    done()
  }

  // MARK: Receiving

  package func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    var ancillary: Ancillary?
    return unsafe receive(into: memory, maximumDescriptors: 0, ancillary: &ancillary)
  }

  /// A datagram that does not fit its room is an error, and is lost together with its descriptors.
  package func receive(
    into memory: UnsafeMutableRawBufferPointer, maximumDescriptors: Int, ancillary: inout Ancillary?
  ) -> Attempt {
    // As on a stream socket, there is room for descriptors even if no caller has asked for any.
    if let unwanted = unsafe unwanted, unwanted.areTooMany, hasOnePeer || unwanted.fillTable {
      return .retryLater
    }
    var found: UnsafeMutablePointer<swsys_ancillary>?
    let attempt = keepingError {
      received(
        unsafe swsys_receive_message(
          number, memory.baseAddress, memory.count, isPacket ? SWSYS_PACKET : SWSYS_DATAGRAM, &found))
    }
    guard let found = unsafe found else { return attempt }
    let isCut = unsafe found.pointee.is_cut
    // The ancillary data is owned from here on. If the datagram was cut, `whole` closes it.
    let whole = unsafe Ancillary(
      taking: found, maximumDescriptors: maximumDescriptors, unwanted: &unwanted)
    if isCut { return .failed(TransportError(.receive, .messageTooLong, scope: .item)) }
    ancillary = whole
    return attempt
  }

  /// Whether the socket is connected now, and receives nothing from others.
  private var hasOnePeer: Bool { swsys_has_peer(number) }

  package func nextDatagramSize() -> Attempt {
    keepingError { received(swsys_next_datagram_size(number, isPacket)) }
  }

  package func peek(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    keepingError {
      received(
        unsafe isPacket
          ? swsys_peek_packet(number, memory.baseAddress, memory.count)
          : swsys_peek(number, memory.baseAddress, memory.count))
    }
  }

  /// Makes an attempt to receive. An error of the connection comes after the packets.
  ///
  /// The kernel reports such an error once and in front of the packets that it holds, for example when the peer has closed with
  /// something unread. So it is kept, the attempt is made again, and the error takes the place of the end.
  private func keepingError(_ attempt: () -> Attempt) -> Attempt {
    var result = attempt()
    guard isPacket else { return result }
    var errno = pendingErrno.load(ordering: .relaxed)
    if errno == 0, case .failed(let error) = result, error.scope == .connection {
      errno = error.errno.rawValue
      pendingErrno.store(errno, ordering: .relaxed)
      result = attempt()
    }
    switch result {
    case .endOfStream where errno != 0, .wouldBlock where errno != 0:
      return .failed(TransportError(.receive, Errno(rawValue: errno), scope: .connection))
    default: return result
    }
  }

  package func receiveDatagrams(
    atMost limit: Int, maximumDescriptors: Int, mayTakeLong: Bool, _ take: (Datagram) -> Void
  ) -> Attempt {
    if isUDP { return receiveDatagramsOverIP(atMost: limit, take) }
    // Without a look at the size: another process that shares the socket may take the datagram that the look has seen.
    let room = DatagramRoom.take()
    defer { DatagramRoom.giveBack(room) }
    var ancillary: Ancillary?
    let memory = unsafe UnsafeMutableRawBufferPointer(start: room.memory, count: room.byteCount)
    let attempt = unsafe receive(
      into: memory, maximumDescriptors: maximumDescriptors, ancillary: &ancillary)
    guard case .transferred(let count) = attempt else { return attempt }
    take(Datagram(unsafe Array(UnsafeRawBufferPointer(rebasing: memory[..<count])), ancillary: ancillary))
    room.noteUse(of: count)
    return attempt
  }

  /// Receives at most sixteen datagrams. One that does not fit is an error and is lost; the others are not.
  private func receiveDatagramsOverIP(atMost limit: Int, _ take: (Datagram) -> Void) -> Attempt {
    let room = DatagramRoom.take()
    defer { DatagramRoom.giveBack(room) }
    let count = min(limit, DatagramRoom.slotCount)
    return unsafe withUnsafeTemporaryAllocation(of: swsys_datagram.self, capacity: count) { found in
      let count = unsafe swsys_receive_datagrams(
        number, room.memory, DatagramRoom.slotSize, Int32(count), found.baseAddress)
      guard count >= 0 else { return received(Int(count)) }
      var isCut = false
      var last: SocketAddress?
      for index in 0..<Int(count) {
        let slot = unsafe room.memory + index * DatagramRoom.slotSize
        if unsafe found[index].is_cut {
          isCut = true
          continue
        }
        last = unsafe Self.address(found[index], after: last)
        let bytes = unsafe UnsafeRawBufferPointer(start: slot, count: found[index].byte_count)
        take(Datagram(unsafe Array(bytes), ancillary: last.map { Ancillary(sender: $0) }))
      }
      return isCut
        ? .failed(TransportError(.receive, .messageTooLong, scope: .item)) : .transferred(Int(count))
    }
  }

  /// Datagrams that come together mostly have one sender, so its address is made only once.
  private static func address(_ datagram: swsys_datagram, after last: SocketAddress?) -> SocketAddress? {
    unsafe withUnsafeBytes(of: datagram.address) { bytes in
      let bytes = unsafe bytes.prefix(Int(datagram.address_length))
      if let last, unsafe last.bytes.elementsEqual(bytes) { return last }
      return unsafe bytes.count > 2 ? SocketAddress(bytes: Array(bytes)) : nil
    }
  }

  package func setReceivesCredentials(_ receives: Bool) throws(TransportError) {
    guard !isUDP else { throw TransportError(.receive, .notSupported) }
    _ = try checked(.receive, swsys_set_receives_credentials(number, receives))
  }

  // MARK: Sending

  package func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    sent(unsafe withVector(bytes) { unsafe swsys_sendv(number, $0, $1) })
  }

  package func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    sent(unsafe withVectors(parts) { unsafe swsys_sendv(number, $0, $1) })
  }

  package func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, with ancillary: OutgoingAncillary
  ) -> Attempt {
    let result = unsafe sendMessage(number, parts, ancillary)
    // On an unconnected Unix socket, readiness does not depend on the receiver's queue.
    if result == -Int(Errno.wouldBlock.rawValue), ancillary.address != nil, !isUDP { return .retryLater }
    // The fault may be a descriptor's or the receiver's. The socket's own number stays open during an attempt.
    let isDescriptors =
      !ancillary.descriptors.isEmpty
      && [Errno.badFileDescriptor, .notSupported].contains { result == -Int($0.rawValue) }
    return (ancillary.address != nil || isDescriptors) && !isTransient(result)
      ? Attempt(.send, result: result, scope: .item) : sent(result)
  }

  package func sendDatagrams(_ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    let count = unsafe withVectors(parts) { vectors, count in
      Int(unsafe swsys_send_datagrams(number, vectors, count))
    }
    guard count >= 0 else { return sent(count) }
    var byteCount = 0
    for index in 0..<count { byteCount += unsafe parts[index].count }
    return .transferred(byteCount)
  }

  package func finishSending() throws(TransportError) {
    guard isPacket else { throw TransportError(.finishSending, .notSupported) }
    try finishSendingOfSocket(number)
  }

  // MARK: Errors

  private func received(_ result: Int) -> Attempt {
    if result == Int(SWSYS_ENDED) {
      // Without marks an empty packet looks like the end, and more may be behind it.
      if isMarked { hasEnded.store(true, ordering: .relaxed) }
      return .endOfStream
    }
    if isTransient(result) { return .retryLater }
    return Attempt(.receive, result: result, scope: isBroken(result) ? .connection : .item)
  }

  private func sent(_ result: Int) -> Attempt {
    if isTransient(result) { return .retryLater }
    let isEnded = isPacket && result == -Int(Errno.brokenPipe.rawValue)
    return Attempt(
      .send, result: result, scope: isEnded ? .direction : isBroken(result) ? .connection : .item)
  }

  /// Whether the socket itself is unusable. Any other error concerns one datagram, because new kernels and protocols add
  /// errors.
  private func isBroken(_ result: Int) -> Bool {
    var errors: [Errno] = [.badFileDescriptor, .notSocket, .badAddress]
    if isPacket { errors += [.connectionReset, .socketNotConnected, .brokenPipe] }
    return errors.contains { result == -Int($0.rawValue) }
  }
}
