internal import SWMessaging

/// Something that yields items one at a time.
protocol ItemSource {
  associatedtype Item: Sendable
  /// The next item; nil at the end.
  mutating func take(until deadline: Deadline) async throws(EndpointError) -> Item?
  /// The error as the program reports it.
  func explained(_ error: EndpointError) -> any Error
  /// The number of bytes that it stands for.
  static func size(of item: Item) -> Int
}

/// Takes the items together that are at hand, so that they are handled together too: nothing that has come waits for more.
struct Batches<Source: ItemSource> {
  private static var mostBytes: Int { 65_536 }
  private static var mostItems: Int { 1_024 }

  private(set) var source: Source
  /// The error behind items that had to be handled first.
  private var failure: (any Error)?

  init(_ source: Source) { self.source = source }

  /// Waits for an item and takes it with the items behind it that are at hand; nil at the end.
  ///
  /// - Parameters:
  ///   - most: how many items to take at most.
  ///   - deadline: until when to wait for the first.
  mutating func next(
    most: Int? = nil, until deadline: Deadline = .never
  ) async throws -> [Source.Item]? {
    if let failure { throw failure }
    do throws(EndpointError) {
      guard let first = try await source.take(until: deadline) else { return nil }
      var batch = [first]
      var byteCount = Source.size(of: first)
      let most = min(most ?? Self.mostItems, Self.mostItems)
      do throws(EndpointError) {
        while batch.count < most, byteCount < Self.mostBytes,
          let item = try await source.take(until: .immediately)
        {
          batch.append(item)
          byteCount += Source.size(of: item)
        }
      } catch {
        if case .timedOut = error.reason { return batch }
        failure = source.explained(error)
      }
      return batch
    } catch {
      throw source.explained(error)
    }
  }
}

/// Makes one thing of several. If one of them fails, what has been made of those before it is handed on, and then the
/// failure is thrown.
func handOn<Item, Whole>(
  _ items: [Item], into whole: Whole, adding add: (Item, inout Whole) throws -> Void,
  to receiver: (Whole) async throws -> Void
) async throws {
  var whole = whole
  do {
    for item in items { try add(item, &whole) }
  } catch {
    try await receiver(whole)
    throw error
  }
  try await receiver(whole)
}
