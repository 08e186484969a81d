package import SWIO
internal import SystemPackage

/// Decides which address of a host is tried next, and when: RFC 8305, "Happy Eyeballs Version 2". A pure machine: its owner
/// makes the sockets and reports their results.
///
///     addresses in the resolver's order, IPv6 and IPv4 in turn
///     the next one is tried when the last attempt failed, or 250 ms after it began
///     the first connection wins; the race is lost when all attempts have failed
package struct AddressRace: Sendable {
  package enum Step: Sendable, Equatable {
    /// Begin to connect to this address.
    case start(SocketAddress)
    /// Wait for the attempts under way, at most until this time.
    case wait(until: Deadline)
    /// All attempts have failed. The error is that of the first failure.
    case lost(TransportError)
  }

  /// How long an attempt has before the next one begins, in nanoseconds (RFC 8305, section 8: 250 ms recommended).
  static var stagger: UInt64 { 250_000_000 }

  private let addresses: [SocketAddress]
  private var started = 0
  private var underWay = 0
  private var nextStart = Deadline.immediately
  private var firstFailure: TransportError?
  /// Whether an address has refused the connection: the host can be reached, and no server listens there.
  package private(set) var wasRefused = false

  /// - Parameter addresses: the addresses of the host, in the resolver's order; not empty.
  package init(_ addresses: [SocketAddress]) {
    let groups = Dictionary(grouping: addresses) { $0.family }
    let first = groups[addresses.first?.family ?? .ipv6] ?? []
    let others = addresses.filter { $0.family != addresses.first?.family }
    var mixed: [SocketAddress] = []
    for index in 0..<max(first.count, others.count) {
      if index < first.count { mixed.append(first[index]) }
      if index < others.count { mixed.append(others[index]) }
    }
    self.addresses = mixed
  }

  /// The next step.
  package mutating func next(now: Deadline) -> Step {
    if started < addresses.count, nextStart <= now {
      nextStart = Deadline(nanoseconds: now.nanoseconds + Self.stagger)
      started += 1
      underWay += 1
      return .start(addresses[started - 1])
    }
    if started < addresses.count { return .wait(until: nextStart) }
    if underWay > 0 { return .wait(until: .never) }
    return .lost(firstFailure ?? TransportError(.connect, .noSuchAddressOrDevice))
  }

  /// Notes that an attempt has failed, so the next one need not wait.
  package mutating func failed(_ error: TransportError) {
    underWay -= 1
    if firstFailure == nil { firstFailure = error }
    if error.errno == .connectionRefused { wasRefused = true }
    nextStart = .immediately
  }
}
