internal import CSysShim
internal import SWIO
internal import SystemPackage

/// The ends of what connects this process with a child. This process has its ends as cores of endpoints. The child's ends
/// are known by their numbers in the child.
final class ChannelEnds {
  private(set) var channel: EndpointCore?
  private(set) var standardInput: EndpointCore?
  private(set) var standardOutput: EndpointCore?
  private(set) var standardError: EndpointCore?

  /// The child's ends and the numbers that they will have. The last reference closes them at the latest.
  private var children: [ChildEnd] = []

  /// A descriptor that the child gets and this process closes.
  private final class ChildEnd {
    let descriptor: OwnedDescriptor
    let number: Int32

    init(_ descriptor: consuming OwnedDescriptor, _ number: Int32) {
      self.descriptor = descriptor
      self.number = number
    }
  }

  /// Makes the channel, if one is asked for.
  init(_ channel: ChildChannel?) throws(EndpointError) {
    switch channel {
    case .descriptor(let number):
      let pair = try Self.make { () throws(TransportError) in try DescriptorPair.sockets() }
      self.channel = try EndpointCore.adopting(pair.first, unread: [], for: [.readable, .writable])
      children.append(ChildEnd(pair.second, number))
    case .standardStreams:
      let input = try Self.make { () throws(TransportError) in try DescriptorPair.pipe() }
      let output = try Self.make { () throws(TransportError) in try DescriptorPair.pipe() }
      self.channel = try EndpointCore.adopting(
        reading: output.first.withDescriptor { $0 }, writing: input.second.withDescriptor { $0 }, unread: [])
      _ = output.first.release()
      _ = input.second.release()
      children.append(ChildEnd(input.first, 0))
      children.append(ChildEnd(output.second, 1))
    case nil: break
    }
  }

  /// Makes a pipe to or from a standard stream of the child.
  func addPipe(_ number: Int32) throws(EndpointError) {
    let pipe = try Self.make { () throws(TransportError) in try DescriptorPair.pipe() }
    if number == 0 {
      standardInput = try EndpointCore.adopting(pipe.second, unread: [], for: .writable)
      children.append(ChildEnd(pipe.first, 0))
      return
    }
    let core = try EndpointCore.adopting(pipe.first, unread: [], for: .readable)
    if number == 1 { standardOutput = core } else { standardError = core }
    children.append(ChildEnd(pipe.second, number))
  }

  /// Takes over a descriptor of this process that the child gets under this number.
  func add(_ descriptor: consuming OwnedDescriptor, as number: Int32) {
    children.append(ChildEnd(descriptor, number))
  }

  /// Closes the child's ends in this process.
  func closeChildEnds() { children = [] }

  /// The descriptor of this process for each number that gets a descriptor of its own in the child.
  var targets: [Int32: Int32] {
    var targets: [Int32: Int32] = [:]
    for child in children { targets[child.number] = child.descriptor.withDescriptor { $0.rawValue } }
    return targets
  }

  /// This process's ports, which see the end of the child's ends.
  var ports: [Port] {
    let cores = [channel, standardInput, standardOutput, standardError]
    return cores.flatMap { core in
      [core?.receiving as Half?, core?.sending].compactMap { $0?.port }
    }
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
  /// Returns the same descriptor under a number above 2. In a process whose standard streams are closed, a new descriptor
  /// gets one of their numbers. Then output that is meant for the stream would go into the channel.
  fileprivate consuming func aboveStandard() throws(TransportError) -> OwnedDescriptor {
    let number = withDescriptor { $0.rawValue }
    guard number <= 2 else { return self }
    let moved = swsys_duplicate(number, 3)
    // The old number is closed, and not redirected to /dev/null, because it was free before.
    OwnedDescriptor.closeAtOnce(release().rawValue)
    return OwnedDescriptor(adopting: FileDescriptor(rawValue: try checked(.duplicate, moved)))
  }
}
