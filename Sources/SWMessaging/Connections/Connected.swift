internal import SWFraming
package import SWIO
internal import Synchronization
package import SystemPackage

/// A connected or accepted descriptor that has no endpoint yet. It is closed if it is never taken.
package final class FreshDescriptor: Sendable {
  private let number: Guarded<Int32?>
  let kind: ConnectionKind
  let isUnix: Bool

  /// Takes the descriptor over.
  init(_ descriptor: consuming OwnedDescriptor, _ kind: ConnectionKind, isUnix: Bool) {
    number = Guarded(descriptor.release().rawValue)
    self.kind = kind
    self.isUnix = isUnix
  }

  deinit {
    // No code outside the library has had it.
    if let number = number.withLock({ $0.take() }) { OwnedDescriptor.close(number, isSole: true) }
  }

  /// Lends the number. Returns nil if the descriptor has been taken.
  func withNumber<Result: Sendable>(_ body: (Int32) -> Result) -> Result? {
    number.withLock { number in number.map { body($0) } }
  }

  /// Gives the descriptor away, once.
  package func take() -> OwnedDescriptor {
    guard let number = number.withLock({ $0.take() }) else {
      preconditionFailure("a descriptor is taken once")
    }
    return OwnedDescriptor(adopting: FileDescriptor(rawValue: number))
  }

  /// Makes the connection's core, once.
  func core(_ mode: ReceiveMode) throws(EndpointError) -> EndpointCore {
    try EndpointCore(connected: take(), kind, isUnix: isUnix, mode: mode)
  }

  /// Makes a system call with the descriptor, and returns its result.
  package func call(_ body: (FileDescriptor) -> Int32) -> Int32 {
    withNumber { body(FileDescriptor(rawValue: $0)) } ?? -Errno.badFileDescriptor.rawValue
  }
}

extension ReceiveHalf {
  /// The value of the item that an `ItemSource` yielded.
  package func value(of outcome: Outcome) throws(EndpointError) -> any Sendable {
    let value: (any Sendable)?
    switch outcome {
    case .lent(let demand):
      value = unsafe turn.value
      finishLoan(demand)
    case .delivered(let delivery): value = delivery.value
    case .failed(let error): throw error
    }
    guard let value else { preconditionFailure("a source of items yields items") }
    return value
  }

  /// The request of every receiver of items.
  package static var nextItem: ReceiveRequest { .upTo(1) }
}
