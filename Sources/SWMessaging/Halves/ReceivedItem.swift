package import SWIO
internal import SystemPackage

/// What a receiving half yields, if it does not yield the bytes of a stream: one thing after the other, each whole.
package enum ReceivedItem: Sendable {
  case datagram(Datagram)
  /// Of an `ItemSource`. One that stays serves every receiver, and nothing comes behind it.
  case value(any Sendable, stays: Bool)

  /// The bytes of a datagram.
  var bytes: [UInt8] {
    if case .datagram(let datagram) = self { return datagram.bytes }
    return []
  }

  var stays: Bool {
    if case .value(_, stays: true) = self { return true }
    return false
  }
}

/// A transport that yields something else than bytes: the exit status of a child, accepted connections. Its receivers
/// have places, deadlines, cancellation and close as those of bytes have.
package protocol ItemSource: SocketLike {
  /// Takes what is there, at most so many, and hands each to `take`. `transferred` with any count if there was one at
  /// least.
  func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt
}

extension ItemSource {
  package var content: TransportContent { .datagrams }

  package func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    .failed(TransportError(.receive, .notSupported, scope: .item))
  }

  package func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    .failed(TransportError(.send, .notSupported, scope: .item))
  }

  package func finishSending() throws(TransportError) {}
}
