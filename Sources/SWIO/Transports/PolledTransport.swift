internal import CSysShim
internal import SystemPackage

/// A description that others share and that cannot be opened again.
///
/// O_NONBLOCK makes no difference. A process that shares the description may clear it at any moment, as shells do when a
/// program ends, also between a look at the flag and the attempt. RWF_NOWAIT would make one, but what comes here does not take
/// it: named pipes, terminals, and other pipes after a splice. For pipes, splice can be told not to wait.
///
/// For the rest, no attempt is made before `poll` reports it ready. Even then the attempt may block, because another process
/// may take the bytes, or the room, in between. So it is made on a thread that may wait. It may wait for as long as the others
/// like, beyond deadlines and `close`, and bytes that come then are lost.
package final class PolledTransport: DescriptorTransport {
  package let number: Int32
  package var working: Int32 { number }
  package let capabilities: TransportCapabilities
  private let isPipe: Bool
  private let empty: EmptyRead

  init(_ number: Int32, isPipe: Bool, _ empty: EmptyRead) {
    self.number = number
    self.isPipe = isPipe
    self.empty = empty
    capabilities = .shared(number, isPipe: isPipe)
  }

  package func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    unsafe isPipe ? Self.receiveFromPipe(number, into: memory, empty) : Self.mayReceive(number)
  }

  package func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    unsafe Self.receive(number, into: memory, empty)
  }

  package func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    unsafe isPipe ? Self.sendToPipe(number, bytes) : Self.maySend(number)
  }

  package func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    unsafe isPipe ? Self.sendToPipe(number, gathering: parts) : Self.maySend(number)
  }

  package func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    unsafe Self.send(number, parts, empty)
  }

  // MARK: Also of a pipe that has been spliced

  /// Receives from a pipe. Where no splice can be made, because there is no number free for it or a filter of system calls
  /// refuses it, the attempt is one like a terminal's.
  static func receiveFromPipe(
    _ number: Int32, into memory: UnsafeMutableRawBufferPointer, _ empty: EmptyRead
  ) -> Attempt {
    var isRefused = false
    let attempt = empty.attempt(number) {
      let result = unsafe swsys_splice_in(number, memory.baseAddress, memory.count)
      isRefused = result == -Int(Errno.notSupported.rawValue)
      return result
    }
    return isRefused ? mayReceive(number) : attempt
  }

  static func sendToPipe(_ number: Int32, _ bytes: UnsafeRawBufferPointer) -> Attempt {
    unsafe withUnsafePointer(to: bytes) { bytes in
      unsafe sendToPipe(number, gathering: UnsafeBufferPointer(start: bytes, count: 1))
    }
  }

  static func sendToPipe(_ number: Int32, gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>)
    -> Attempt
  {
    let result = unsafe withGathered(parts, upTo: atomicPipeWrite) { unsafe swsys_splice_out(number, $0, $1) }
    return result == -Int(Errno.notSupported.rawValue) ? maySend(number) : .file(.send, result)
  }

  private static func mayReceive(_ number: Int32) -> Attempt {
    swsys_poll_now(number, Int32(SWSYS_READABLE)) > 0 ? .offload : .wouldBlock
  }

  private static func maySend(_ number: Int32) -> Attempt {
    swsys_poll_now(number, Int32(SWSYS_WRITABLE)) > 0 ? .offload : .wouldBlock
  }

  static func receive(_ number: Int32, into memory: UnsafeMutableRawBufferPointer, _ empty: EmptyRead)
    -> Attempt
  {
    guard swsys_poll_now(number, Int32(SWSYS_READABLE)) > 0 else { return .wouldBlock }
    return empty.attempt(number) { unsafe swsys_read(number, memory.baseAddress, memory.count) }
  }

  /// A writable pipe has room for PIPE_BUF bytes, so a write of that size does not block unless another writer uses the room
  /// in between. A terminal promises less: writes of 4096 bytes were accepted in part and then blocked, and writes of 256
  /// bytes never did.
  static func send(
    _ number: Int32, _ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, _ empty: EmptyRead
  ) -> Attempt {
    guard swsys_poll_now(number, Int32(SWSYS_WRITABLE)) > 0 else { return .wouldBlock }
    if empty.isStuck(number) { return .failed(TransportError(.send, .ioError, scope: .direction)) }
    return .file(
      .send,
      unsafe withGathered(parts, upTo: empty.isTerminal ? 256 : atomicPipeWrite) {
        unsafe swsys_write_guarded(number, $0, $1, false)
      })
  }

  /// Calls with the first bytes of the parts as one vector, so that a frame which fits is one write.
  private static func withGathered(
    _ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, upTo limit: Int,
    _ call: (UnsafePointer<iovec>?, Int32) -> Int
  ) -> Int {
    unsafe withUnsafeTemporaryAllocation(byteCount: limit, alignment: 1) { bytes in
      var count = 0
      for index in parts.indices {
        let part = unsafe parts[index]
        let taken = min(part.count, bytes.count - count)
        unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[count...]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: part[..<taken]))
        count += taken
      }
      return unsafe withVector(UnsafeRawBufferPointer(start: bytes.baseAddress, count: count)) {
        unsafe call($0, $1)
      }
    }
  }
}
