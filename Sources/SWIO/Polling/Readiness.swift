internal import CSysShim
package import SystemPackage

/// What a descriptor, or an in-process transport, may be ready for. A hint: the attempt is the truth.
public struct Readiness: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// A receive may get on.
  public static var readable: Readiness { Readiness(rawValue: UInt8(SWSYS_READABLE)) }
  /// A send may get on.
  public static var writable: Readiness { Readiness(rawValue: UInt8(SWSYS_WRITABLE)) }
  /// The peer is gone or the transport is broken: both directions should look.
  public static var hungUp: Readiness { Readiness(rawValue: UInt8(SWSYS_HUNG_UP)) }
  /// TCP's urgent data has come.
  package static var urgent: Readiness { Readiness(rawValue: UInt8(SWSYS_URGENT)) }
}

extension FileDescriptor {
  /// Whether `poll(2)` finds it ready for one of these now.
  package func isReady(for readiness: Readiness) -> Bool {
    swsys_poll_now(rawValue, Int32(readiness.rawValue)) > 0
  }
}
