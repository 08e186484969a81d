internal import CSysShim
internal import SystemPackage

/// A regular file or a block device. It is always ready, but slow.
package final class FileTransport: DescriptorTransport {
  package let number: Int32
  package var working: Int32 { number }

  init(_ number: Int32) { self.number = number }

  /// A read of this size is left to a thread that may wait, without a first attempt.
  package static var longTransfer: Int { 65_536 }

  package func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    if memory.count >= Self.longTransfer { return .offload }
    // Data in the page cache is returned at once. For other data the kernel returns EAGAIN. File systems that cannot tell, old
    // kernels and filters of system calls have errors of their own. A plain read decides about all of them.
    let result = unsafe swsys_read_nowait(number, memory.baseAddress, memory.count)
    return result < 0 ? .offload : Self.received(result)
  }

  package func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    Self.received(unsafe swsys_read(number, memory.baseAddress, memory.count))
  }

  private static func received(_ result: Int) -> Attempt {
    result == 0 ? .endOfStream : .file(.receive, result)
  }

  /// However few bytes: a write waits while its file system is frozen, or has too much that is not written yet. No flag has the
  /// kernel return instead.
  package func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { .offload }
  package func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt { .offload }

  package func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    .file(.send, unsafe withVectors(parts) { unsafe swsys_write_guarded(number, $0, $1, false) })
  }
}
