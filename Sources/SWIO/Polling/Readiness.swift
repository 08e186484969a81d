internal import CSysShim
package import SystemPackage

/// The operations that a descriptor, or an in-process transport, may be ready for. Readiness is a hint: the attempt is
/// the truth.
public struct Readiness: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// A receive may get on.
  public static var readable: Readiness { Readiness(rawValue: UInt8(SWSYS_READABLE)) }
  /// A send may get on.
  public static var writable: Readiness { Readiness(rawValue: UInt8(SWSYS_WRITABLE)) }
  /// The peer has ended its direction, or is gone. This never goes back, whatever is still to be received before
  /// the end.
  public static var readClosed: Readiness { Readiness(rawValue: UInt8(SWSYS_READ_CLOSED)) }
  /// Nothing can be sent any more. This never goes back.
  public static var writeClosed: Readiness { Readiness(rawValue: UInt8(SWSYS_WRITE_CLOSED)) }
  /// The transport has failed, and an attempt in either direction will tell how.
  public static var failed: Readiness { Readiness(rawValue: UInt8(SWSYS_FAILED)) }
  /// Urgent data of TCP has come.
  package static var urgent: Readiness { Readiness(rawValue: UInt8(SWSYS_URGENT)) }

  /// The bits that are reported whether or not they are watched for.
  package static var hangUps: Readiness { [.readClosed, .writeClosed, .failed] }
  /// After any of these an attempt to receive may make progress.
  package static var concernsReceiving: Readiness { [.readable, .readClosed, .failed] }
  /// After any of these an attempt to send may make progress.
  package static var concernsSending: Readiness { [.writable, .writeClosed, .failed] }
}

extension FileDescriptor {
  /// Whether `poll(2)` finds the descriptor ready for one of these now.
  package func isReady(for readiness: Readiness) -> Bool {
    swsys_poll_now(rawValue, Int32(readiness.rawValue)) > 0
  }
}
