internal import Synchronization

/// What is left of a packet that a pipe handed out.
///
/// A pipe whose writers have set O_DIRECT hands out what one write brought, at most PIPE_BUF bytes, and drops
/// what does not fit the reader's memory. Its reader cannot tell: the kernel sets the flag on the writing end
/// alone. So who may read ahead never asks a pipe for less than a packet, and what was not wanted waits
/// here. Who may not (`.exact`, and raw receives) loses the rest of a packet, as with `read(2)`, unless the
/// flag is on the reading end, too: that is how whoever knows can say so.
package final class PacketRest: Sendable {
  private let always: Bool
  /// The size of the largest packet.
  private let size: Int
  private let bytes = Guarded<ArraySlice<UInt8>>([])
  private let isEmpty = Atomic(true)

  /// Nil for a transport that drops nothing.
  package init?(_ capabilities: TransportCapabilities) {
    guard capabilities.packetSize > 0 else { return nil }
    size = capabilities.packetSize
    always = capabilities.keepsPackets
  }

  /// Whether an attempt to receive so much has to come here.
  package func serves(_ byteCount: Int, readsAhead: Bool) -> Bool {
    (readsAhead || always) && byteCount < size
      || !isEmpty.load(ordering: .relaxed)
  }

  /// Hands out what is left of the last packet, or receives one and hands out its front. In the receiving
  /// half's turn.
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

  /// Everything that is left, for who takes the descriptor up again.
  package func take() -> [UInt8] {
    isEmpty.store(true, ordering: .relaxed)
    return bytes.withLock { bytes in
      defer { bytes = [] }
      return Array(bytes)
    }
  }
}
