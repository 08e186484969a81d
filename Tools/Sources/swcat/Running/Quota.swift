internal import Synchronization

/// How many messages are still wanted, by all the connections of a run together.
final class Quota: Sendable {
  private let rest: Mutex<Int?>

  /// - Parameter count: the number of messages; nil: without limit.
  init(_ count: Int?) { rest = Mutex(count) }

  /// How many are still wanted; nil: without limit.
  var left: Int? { rest.withLock { $0 } }

  /// Takes as many of these messages as are wanted, the first ones.
  func take(_ messages: [Message]) -> [Message] {
    rest.withLock { rest in
      guard let left = rest else { return messages }
      let taken = min(left, messages.count)
      rest = left - taken
      return taken == messages.count ? messages : Array(messages[..<taken])
    }
  }

  /// A signal that comes before the last of them leaves something undone.
  func check() throws {
    if let left, left > 0, Stop.shared.signal != nil { throw Interrupted() }
  }
}
