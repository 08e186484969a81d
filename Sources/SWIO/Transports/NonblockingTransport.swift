internal import CSysShim
internal import SystemPackage

/// A descriptor of which the library has opened a description of its own through `/proc`, with O_NONBLOCK.
package final class NonblockingTransport: DescriptorTransport {
  package let number: Int32
  package let working: Int32
  package let capabilities: TransportCapabilities
  private let empty: EmptyRead

  init(_ number: Int32, working: Int32, isPipe: Bool, _ empty: EmptyRead) {
    self.number = number
    self.working = working
    self.empty = empty
    capabilities = .shared(number, isPipe: isPipe)
  }

  package func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    empty.attempt(working) { unsafe swsys_read(working, memory.baseAddress, memory.count) }
  }

  package func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    .file(.send, unsafe withVector(bytes) { unsafe swsys_write_guarded(working, $0, $1, false) })
  }

  package func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    .file(.send, unsafe withVectors(parts) { unsafe swsys_write_guarded(working, $0, $1, false) })
  }
}
