internal import CSysShim
internal import SystemPackage

/// An anonymous pipe, on kernels that take RWF_NOWAIT for pipes (about Linux 6.4).
///
/// After a splice the kernel no longer takes RWF_NOWAIT for that pipe, and a filter of system calls may refuse the calls that
/// have it. From then on attempts are made as in `PolledTransport`.
package final class PipeTransport: DescriptorTransport {
  package let number: Int32
  package var working: Int32 { number }
  package let capabilities: TransportCapabilities
  private let noSignal: Bool

  init(_ number: Int32, noSignal: Bool) {
    self.number = number
    self.noSignal = noSignal
    capabilities = .pipe(number)
  }

  package func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    let result = unsafe swsys_read_nowait(number, memory.baseAddress, memory.count)
    if Self.isRefused(result) { return unsafe PolledTransport.receiveFromPipe(number, into: memory, .end) }
    return result == 0 ? .endOfStream : .file(.receive, result)
  }

  package func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    unsafe PolledTransport.receive(number, into: memory, .end)
  }

  package func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    let result = unsafe withVector(bytes) { unsafe write($0, $1) }
    return Self.isRefused(result) ? unsafe PolledTransport.sendToPipe(number, bytes) : .file(.send, result)
  }

  package func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    let result = unsafe withVectors(parts) { unsafe write($0, $1) }
    return Self.isRefused(result)
      ? unsafe PolledTransport.sendToPipe(number, gathering: parts) : .file(.send, result)
  }

  package func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    unsafe PolledTransport.send(number, parts, .end)
  }

  private func write(_ vectors: UnsafePointer<iovec>?, _ count: Int32) -> Int {
    unsafe noSignal
      ? swsys_write_nowait(number, vectors, count, true, true)
      : swsys_write_guarded(number, vectors, count, true)
  }

  /// Whether the kernel or a filter of system calls refuses the call. If the error is the pipe's own, the plain call that
  /// follows has it, too.
  private static func isRefused(_ result: Int) -> Bool {
    result < 0
      && [Errno.notSupported, .notPermitted, .permissionDenied, .noFunction].contains {
        result == -Int($0.rawValue)
      }
  }
}
