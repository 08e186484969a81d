package import CSysShim
package import SystemPackage

/// What an endpoint does with a descriptor: attempts that never wait, leave no flag behind on a
/// description that others share, and raise no SIGPIPE.
///
///     descriptor        receive                    send
///     socket            recv MSG_DONTWAIT          sendmsg MSG_DONTWAIT | MSG_NOSIGNAL
///     anonymous pipe    preadv2 RWF_NOWAIT         pwritev2 RWF_NOWAIT | RWF_NOSIGNAL
///       older kernels   read, description of ours  writev, likewise; SIGPIPE blocked and taken back
///     FIFO, tty         likewise where /proc allows it, else poll first and move little
///     regular file      read                       writev: always ready
///
/// A read that brings nothing is not the end everywhere:
///
///     FIFO without a writer that has hung up         there was none yet: wait for one
///     raw terminal with VMIN 0                       nothing has been typed
///
/// and the master of a pseudo-terminal says EIO when the last other side is closed: that is its end.
package struct DescriptorTransport: Sendable {
  package enum Mode: Hashable, Sendable {
    case socket
    case nowaitPipe(noSignal: Bool)
    /// `working` has `O_NONBLOCK`: found so, or reopened by us.
    case nonblocking
    case alwaysReady
    /// A description that others share and that cannot be reopened: nothing is tried before `poll` says
    /// so, and little at once.
    case polled
  }

  /// The owner's number: lent, handed on, duplicated.
  package let number: Int32
  /// What attempts and waits use: `number`, or a description of our own.
  package let working: Int32
  package let mode: Mode
  package let isStreamSocket: Bool
  /// Datagrams or packets: an attempt moves a whole one.
  package var carriesDatagrams: Bool { isDatagramSocket || isPacketSocket }
  /// Datagrams without an end.
  private let isDatagramSocket: Bool
  /// Packets in order, until they end.
  private let isPacketSocket: Bool
  /// Datagrams over IP: each fits a slot of `DatagramRoom`, and no descriptors come with it.
  private let isUDP: Bool

  /// Whether writes should be cut where frames end, and at PIPE_BUF, so that several processes can
  /// write to the same pipe.
  package var writesAtomically: Bool {
    switch mode {
    case .socket, .alwaysReady: false
    case .nowaitPipe, .nonblocking, .polled: isPipe
    }
  }
  package let isPipe: Bool
  /// What a read that brings nothing means.
  private enum Silence: Sendable { case end, endIfHungUp, endOfTerminal }
  private let silence: Silence
  /// A pipe's description says that what it brings comes in packets.
  package let declaresPackets: Bool

  /// Looks at what the descriptor is. Takes no ownership: `close` gives it up.
  ///
  /// - Throws: `TransportError` when it is not open, or not for every one of these directions.
  package init(_ number: Int32, for directions: Readiness) throws(TransportError) {
    let access = try checked(.adopt, swsys_access_mode(number))
    let wanted: [Int32] =
      directions == .readable
      ? [Self.readOnly, Self.readWrite]
      : directions == .writable ? [Self.writeOnly, Self.readWrite] : [Self.readWrite]
    guard wanted.contains(access) else {
      throw TransportError(.adopt, .badFileDescriptor)
    }
    let kind = swsys_kind(number)
    _ = try checked(.adopt, kind)
    self.number = number
    let features = KernelFeatures.current
    isPipe = kind == Int32(SWSYS_PIPE.rawValue)
    let isAnonymous = isPipe && swsys_is_anonymous_pipe(number)
    let isTerminal = kind == Int32(SWSYS_OTHER.rawValue) && swsys_is_terminal(number)
    silence = isTerminal ? .endOfTerminal : isPipe && !isAnonymous ? .endIfHungUp : .end
    declaresPackets = isPipe && swsys_keeps_packets(number)
    isStreamSocket = kind == Int32(SWSYS_STREAM_SOCKET.rawValue)
    isDatagramSocket = kind == Int32(SWSYS_DATAGRAM_SOCKET.rawValue)
    isPacketSocket = kind == Int32(SWSYS_PACKET_SOCKET.rawValue)
    isUDP = isDatagramSocket && swsys_is_udp(number)
    if isStreamSocket || isDatagramSocket || isPacketSocket {
      (mode, working) = (.socket, number)
    } else if kind == Int32(SWSYS_ALWAYS_READY.rawValue) {
      (mode, working) = (.alwaysReady, number)
    } else if features.nowaitPipes, isAnonymous {
      (mode, working) = (.nowaitPipe(noSignal: features.nosignalPipes), number)
    } else {
      // A description of our own first: O_NONBLOCK that is found on a shared one, others may take away.
      let own = features.reopens ? swsys_reopen_nonblocking(number, access) : -1
      if own >= 0 {
        (mode, working) = (.nonblocking, own)
      } else {
        (mode, working) = (swsys_is_nonblocking(number) > 0 ? .nonblocking : .polled, number)
      }
    }
  }

  private static var readOnly: Int32 { FileDescriptor.AccessMode.readOnly.rawValue }
  private static var writeOnly: Int32 { FileDescriptor.AccessMode.writeOnly.rawValue }
  private static var readWrite: Int32 { FileDescriptor.AccessMode.readWrite.rawValue }

  /// From this size on, what goes from or to a disk may take long.
  package static var longTransfer: Int { 65_537 }

  /// - Parameter mayTakeLong: a large transfer from a disk is made, and not answered with `offload`.
  package func receive(into memory: UnsafeMutableRawBufferPointer, mayTakeLong: Bool = false) -> Attempt {
    guard let start = memory.baseAddress, memory.count > 0 else { return .wouldBlock }
    if mode == .alwaysReady, memory.count >= Self.longTransfer, !mayTakeLong { return .offload }
    let result = unsafe read(start, memory.count)
    if result > 0 { return .transferred(result) }
    return endOrWait(result) ?? Self.attempt(.receive, result)
  }

  private func read(_ start: UnsafeMutableRawPointer, _ count: Int) -> Int {
    switch mode {
    case .socket: unsafe swsys_recv(working, start, count)
    case .nowaitPipe: unsafe receiveFromPipe(start, count)
    case .nonblocking, .alwaysReady: unsafe swsys_read(working, start, count)
    case .polled: unsafe receivePolled(start, count)
    }
  }

  /// What a read means that brought nothing; nil: what its error says.
  private func endOrWait(_ result: Int) -> Attempt? {
    switch silence {
    case .end:
      return result == 0 && !carriesDatagrams ? .endOfStream : nil
    case .endIfHungUp:
      // Only the description that we were given knows whether there ever was a writer. One that came, wrote
      // and went since the read is seen by the next attempt.
      return result != 0 ? nil : swsys_is_hung_up(number, Int32(SWSYS_READABLE)) ? .endOfStream : .wouldBlock
    case .endOfTerminal:
      guard result == 0 || result == -Int(Errno.ioError.rawValue) else { return nil }
      if swsys_is_hung_up(working, 0) { return .endOfStream }
      return result != 0 ? nil : swsys_is_canonical(working) ? .endOfStream : .wouldBlock
    }
  }

  /// Sends parts one after the other, as one gathered write.
  package func send(_ parts: UnsafeBufferPointer<iovec>, mayTakeLong: Bool = false) -> Attempt {
    guard let start = parts.baseAddress, parts.count > 0 else {
      return carriesDatagrams ? sendEmptyDatagram() : .transferred(0)
    }
    let count = Int32(parts.count)
    switch mode {
    case .socket:
      return Self.attempt(.send, unsafe swsys_sendv(working, start, count))
    case .nowaitPipe(let noSignal):
      let result =
        noSignal
        ? unsafe swsys_write_nowait(working, start, count, true, true)
        : unsafe swsys_write_guarded(working, start, count, true)
      return Self.isRefused(result) ? unsafe sendPolled(parts) : Self.attempt(.send, result)
    case .alwaysReady where unsafe !mayTakeLong && Self.isLong(parts): return .offload
    case .nonblocking, .alwaysReady:
      let attempt = Self.attempt(.send, unsafe swsys_write_guarded(working, start, count, false))
      if case .wouldBlock = attempt, isStuck { return .failed(TransportError(.send, .ioError)) }
      return attempt
    case .polled: return unsafe sendPolled(parts)
    }
  }

  private func sendEmptyDatagram() -> Attempt {
    let empty = unsafe iovec(iov_base: nil, iov_len: 0)
    return Self.attempt(.send, unsafe withUnsafePointer(to: empty) { unsafe swsys_sendv(working, $0, 1) })
  }

  private static func isLong(_ parts: UnsafeBufferPointer<iovec>) -> Bool {
    var count = 0
    for index in parts.indices { count += unsafe parts[index].iov_len }
    return count >= longTransfer
  }

  /// The kernel takes RWF_NOWAIT away from a pipe's description once somebody has spliced it.
  private static func isRefused(_ result: Int) -> Bool { result == -Int(Errno.notSupported.rawValue) }

  private func receiveFromPipe(_ start: UnsafeMutableRawPointer, _ count: Int) -> Int {
    let result = unsafe swsys_read_nowait(working, start, count)
    return Self.isRefused(result) ? unsafe receivePolled(start, count) : result
  }

  private func receivePolled(_ start: UnsafeMutableRawPointer, _ count: Int) -> Int {
    guard swsys_poll_now(working, Int32(SWSYS_READABLE)) > 0 else { return -Int(Errno.wouldBlock.rawValue) }
    return unsafe swsys_read(working, start, count)
  }

  /// A pipe that is writable has room for PIPE_BUF bytes: a write of that size does not block, unless
  /// somebody else fills it in between. A terminal promises less: of 4096 bytes that one took a part and
  /// blocked, of 256 none did. Gathered, so that a frame that fits is one write.
  private func sendPolled(_ parts: UnsafeBufferPointer<iovec>) -> Attempt {
    guard swsys_poll_now(working, Int32(SWSYS_WRITABLE)) > 0 else { return .wouldBlock }
    if isStuck { return .failed(TransportError(.send, .ioError)) }
    return unsafe withUnsafeTemporaryAllocation(byteCount: polledWrite, alignment: 1) { bytes in
      var count = 0
      for index in parts.indices {
        let part = unsafe parts[index]
        let taken = unsafe min(part.iov_len, bytes.count - count)
        guard taken > 0, let source = unsafe part.iov_base else { continue }
        unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[count...]).copyMemory(
          from: UnsafeRawBufferPointer(start: source, count: taken))
        count += taken
      }
      let whole = unsafe iovec(iov_base: bytes.baseAddress, iov_len: count)
      return Self.attempt(
        .send,
        unsafe withUnsafePointer(to: whole) { whole in
          unsafe swsys_write_guarded(working, whole, 1, false)
        })
    }
  }

  /// The master of a pseudo-terminal that nobody has open takes bytes for as long as it has room. Then a
  /// write would block, though `poll` always has something to say.
  private var isStuck: Bool {
    silence == .endOfTerminal && swsys_is_hung_up(working, Int32(SWSYS_WRITABLE))
  }

  private var polledWrite: Int { silence == .endOfTerminal ? 256 : Self.atomicPipeWrite }

  /// Writes up to this size to a pipe are atomic (PIPE_BUF on Linux).
  package static var atomicPipeWrite: Int { 4096 }

  // MARK: Sockets

  /// Copies what a receive would bring; of sockets.
  package func peek(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    guard mode == .socket, let start = memory.baseAddress else {
      return .failed(TransportError(.receive, .notSupported))
    }
    let result = unsafe swsys_peek(working, start, memory.count)
    if result == 0, !isDatagramSocket { return .endOfStream }
    return Self.attempt(.receive, result)
  }

  /// How many bytes the next datagram has, which stays.
  package func nextDatagramSize() -> Attempt {
    let size = swsys_next_datagram_size(working, isPacketSocket)
    return size == SWSYS_ENDED ? .endOfStream : Self.attempt(.receive, size)
  }

  /// Receives whole datagrams, at most so many: as many as wait, or, where nobody can say how large they are, one.
  ///
  /// One that does not fit is an error, and lost, as an error of `receive(into:with:)` says; those that came with
  /// it are not.
  package func receiveDatagrams(atMost limit: Int, _ take: (Datagram) -> Void) -> Attempt {
    if isUDP { return receiveDatagramsOverIP(atMost: limit, take) }
    // Over a Unix socket only its sender's memory bounds a datagram, and a look alone tells an empty packet from
    // the end.
    let size = nextDatagramSize()
    guard case .transferred(let byteCount) = size else { return size }
    return unsafe Datagram.receive(byteCount, take) { room, companions in
      unsafe receive(into: room, with: &companions)
    }
  }

  private func receiveDatagramsOverIP(atMost limit: Int, _ take: (Datagram) -> Void) -> Attempt {
    let room = DatagramRoom.take()
    defer { DatagramRoom.giveBack(room) }
    let count = min(limit, DatagramRoom.slotCount)
    return unsafe withUnsafeTemporaryAllocation(of: swsys_datagram.self, capacity: count) { found in
      let received = unsafe swsys_receive_datagrams(
        working, room.memory, DatagramRoom.slotSize, Int32(count), found.baseAddress)
      guard received >= 0 else { return Self.attempt(.receive, Int(received)) }
      var isCut = false
      var sender: SocketAddress?
      for index in 0..<Int(received) {
        let slot = unsafe room.memory + index * DatagramRoom.slotSize
        if unsafe found[index].is_cut {
          isCut = true
          continue
        }
        sender = unsafe Self.address(found[index], after: sender)
        let bytes = unsafe UnsafeRawBufferPointer(start: slot, count: found[index].byte_count)
        take(Datagram(bytes: unsafe Array(bytes), companions: nil, sender: sender))
      }
      return isCut ? .failed(TransportError(.receive, .messageTooLong)) : .transferred(Int(received))
    }
  }

  /// Mostly the same one: then nothing is made.
  private static func address(_ datagram: swsys_datagram, after last: SocketAddress?) -> SocketAddress? {
    unsafe withUnsafeBytes(of: datagram.address) { bytes in
      let bytes = unsafe bytes.prefix(Int(datagram.address_length))
      if let last, unsafe last.bytes.elementsEqual(bytes) { return last }
      return unsafe bytes.count > 2 ? SocketAddress(bytes: Array(bytes)) : nil
    }
  }

  /// `recvmsg`: with what came beside the bytes. A datagram that is longer than there is room for is an error,
  /// and lost. Descriptors that the kernel had to cut off are an error too: `Errno.tooManyOpenFiles`.
  package func receive(
    into memory: UnsafeMutableRawBufferPointer, with companions: inout Companions?
  ) -> Attempt {
    guard mode == .socket else { return .failed(TransportError(.receive, .notSupported)) }
    var found = swsys_companions()
    var received = 0
    let result = unsafe swsys_receive_accompanied(
      working, memory.baseAddress, memory.count, &found, &received)
    guard result >= 0 else { return Self.attempt(.receive, result) }
    if carriesDatagrams, found.is_cut { return .failed(TransportError(.receive, .messageTooLong)) }
    let descriptors = unsafe withUnsafeBytes(of: found.descriptors) { bytes in
      unsafe bytes.bindMemory(to: Int32.self).prefix(Int(found.descriptor_count)).map {
        FileDescriptor(rawValue: $0)
      }
    }
    let address = unsafe withUnsafeBytes(of: found.address) {
      unsafe Array($0.prefix(Int(found.address_length)))
    }
    if !descriptors.isEmpty || address.count > 2 {
      companions = Companions(
        descriptors: descriptors, sender: address.count > 2 ? SocketAddress(bytes: address) : nil)
    }
    if result == 0, !carriesDatagrams { return .endOfStream }
    return .transferred(result)
  }

  /// `sendmmsg`: each part is a datagram. What is transferred are the bytes of whole ones.
  package func sendDatagrams(_ parts: UnsafeBufferPointer<iovec>) -> Attempt {
    let sent = unsafe swsys_send_datagrams(working, parts.baseAddress, Int32(parts.count))
    guard sent >= 0 else { return Self.attempt(.send, Int(sent)) }
    var count = 0
    for index in 0..<Int(sent) { count += unsafe parts[index].iov_len }
    return .transferred(count)
  }

  /// `sendmsg`, with descriptors or to an address.
  package func send(
    _ parts: UnsafeBufferPointer<iovec>, passing descriptors: [FileDescriptor], to address: SocketAddress?
  ) -> Attempt {
    guard mode == .socket else { return .failed(TransportError(.send, .notSupported)) }
    let numbers = descriptors.map(\.rawValue)
    let result = unsafe numbers.withUnsafeBufferPointer { numbers in
      unsafe (address?.bytes ?? []).withUnsafeBytes { address in
        unsafe swsys_send_accompanied(
          working, parts.baseAddress, Int32(parts.count), numbers.baseAddress, Int32(numbers.count),
          address.baseAddress, UInt32(address.count))
      }
    }
    return Self.attempt(.send, result)
  }

  private static func attempt(_ operation: TransportError.Operation, _ result: Int) -> Attempt {
    if result >= 0 { return .transferred(result) }
    let errno = Errno(rawValue: Int32(-result))
    return errno == .wouldBlock ? .wouldBlock : .failed(TransportError(operation, errno))
  }

  /// Half-close; `false` where only closing the descriptor tells the peer.
  package func finishSending() throws(TransportError) -> Bool {
    guard isStreamSocket || isPacketSocket else { return false }
    let result = swsys_shutdown_send(working)
    // The peer is gone already: it needs no telling.
    if result == -Errno.socketNotConnected.rawValue { return true }
    _ = try checked(.finishSending, result)
    return true
  }

  /// Gives up our own description, if there is one; the number stays open.
  package func closeWorking() {
    if working != number { _ = swsys_close(working) }
  }

  package func close() {
    closeWorking()
    OwnedDescriptor.close(number)
  }
}
