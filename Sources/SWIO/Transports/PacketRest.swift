internal import Synchronization

/// The rest of a packet that a pipe returned.
///
/// A pipe whose writers have set O_DIRECT returns the bytes of one write, at most PIPE_BUF, and drops what does not fit the
/// reader's memory. The reader cannot detect this, because the kernel sets the flag only on the writing end. So a receive
/// that may read ahead always offers a pipe room for a whole packet, and the surplus is kept here. A receive that may not
/// (`.exact`, and raw receives) loses the rest of a packet, as with `read(2)`, unless the reading end has the flag, too. The
/// program can set it there to avoid the loss.
package final class PacketRest: Sendable {
  private let always: Bool
  /// The size of the largest packet, in bytes.
  private let size: Int
  private let bytes = Guarded<ArraySlice<UInt8>>([])
  private let isEmpty = Atomic(true)

  /// Nil for a transport that drops nothing.
  package init?(_ capabilities: TransportCapabilities) {
    guard capabilities.packetSize > 0 else { return nil }
    size = capabilities.packetSize
    always = capabilities.keepsPackets
  }

  package var holdsNothing: Bool { isEmpty.load(ordering: .relaxed) }

  /// Whether a receive of this size has to use the rest.
  package func serves(_ byteCount: Int, readsAhead: Bool) -> Bool {
    (readsAhead || always) && byteCount < size
      || !isEmpty.load(ordering: .relaxed)
  }

  /// Returns bytes of the last packet's rest. If there is none, receives a packet and returns its front. Called in the turn
  /// of the receiving half.
  package func receive(
    into memory: UnsafeMutableRawBufferPointer, by attempt: (UnsafeMutableRawBufferPointer) -> Attempt
  ) -> Attempt {
    if isEmpty.load(ordering: .relaxed) {
      var packet = [UInt8](repeating: 0, count: size)
      let result = unsafe packet.withUnsafeMutableBytes { room in unsafe attempt(room) }
      guard case .transferred(let count) = result else { return result }
      let whole = packet.prefix(count)
      bytes.withLock { $0 = whole }
    }
    let (front, isLast) = bytes.withLock { bytes in
      let front = bytes.prefix(memory.count)
      bytes.removeFirst(front.count)
      return (front, bytes.isEmpty)
    }
    isEmpty.store(isLast, ordering: .relaxed)
    unsafe memory.copyBytes(from: front)
    return .transferred(front.count)
  }

  /// Removes and returns the whole rest, for the next user of the descriptor.
  package func take() -> [UInt8] {
    isEmpty.store(true, ordering: .relaxed)
    return bytes.withLock { bytes in
      defer { bytes = [] }
      return Array(bytes)
    }
  }
}
