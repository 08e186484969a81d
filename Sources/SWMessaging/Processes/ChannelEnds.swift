internal import CSysShim
internal import SWIO
internal import SystemPackage

/// A new channel to a child: this process's end as the core of an endpoint, and the child's: a socket, or
/// what will be its standard input and output.
struct ChannelEnds: ~Copyable {
  let core: EndpointCore
  private let first: OwnedDescriptor
  private var second: OwnedDescriptor?

  init(_ channel: ChildChannel) throws(EndpointError) {
    switch channel {
    case .descriptor:
      let pair = try Self.make { () throws(TransportError) in try DescriptorPair.sockets() }
      core = try EndpointCore.adopting(pair.first, unread: [], for: [.readable, .writable])
      first = pair.second
      second = nil
    case .standardStreams:
      let input = try Self.make { () throws(TransportError) in try DescriptorPair.pipe() }
      let output = try Self.make { () throws(TransportError) in try DescriptorPair.pipe() }
      core = try EndpointCore.adopting(
        reading: output.first.withDescriptor { $0 }, writing: input.second.withDescriptor { $0 }, unread: [])
      _ = output.first.release()
      _ = input.second.release()
      first = input.first
      second = consume output.second
    }
  }

  /// Gives the child's ends away, in order.
  consuming func releaseChildEnds() -> [Int32] {
    var numbers = [first.release().rawValue]
    if let second = second.take() { numbers.append(second.release().rawValue) }
    return numbers
  }

  private static func make(
    _ make: () throws(TransportError) -> DescriptorPair
  ) throws(EndpointError) -> DescriptorPair {
    do throws(TransportError) {
      let pair = try make()
      return DescriptorPair(first: try pair.first.aboveStandard(), second: try pair.second.aboveStandard())
    } catch {
      throw EndpointError(.transport(error))
    }
  }
}

extension OwnedDescriptor {
  /// The same, under a number above 2. In a process whose standard streams are closed a new descriptor
  /// gets one of their numbers, and whoever prints then prints into the channel.
  fileprivate consuming func aboveStandard() throws(TransportError) -> OwnedDescriptor {
    let number = withDescriptor { $0.rawValue }
    guard number <= 2 else { return self }
    let moved = swsys_duplicate(number, 3)
    // Closed as it came to be, and not pointed at /dev/null: that the number was free is not our affair.
    _ = swsys_close(release().rawValue)
    return OwnedDescriptor(adopting: FileDescriptor(rawValue: try checked(.duplicate, moved)))
  }
}
