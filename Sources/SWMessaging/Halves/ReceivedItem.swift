package import SWIO
internal import SystemPackage

/// An item that a receiving half yields if it does not yield the bytes of a stream. Each item is whole.
package enum ReceivedItem: Sendable {
  case datagram(Datagram)
  /// The value of an `ItemSource`. A value that stays serves every receiver, and no item follows it.
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

/// A transport that yields values instead of bytes: the exit status of a child, accepted connections. Its receivers have
/// places, deadlines, cancellation and close like receivers of bytes.
package protocol ItemSource: SocketLike {
  /// Takes at most `limit` values, and hands each to `take`. Returns `transferred`, with any count, if there was at least
  /// one.
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
