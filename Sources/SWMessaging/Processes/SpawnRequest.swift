internal import CSysShim
internal import SWIO
internal import SystemPackage

/// A child to be spawned: `posix_spawn` with all that it needs, made up where the caller is and carried
/// out on any thread, once.
struct SpawnRequest: Sendable {
  private let path: [UInt8]
  private let arguments: [[UInt8]]
  private let environment: [[UInt8]]
  private let workingDirectory: [UInt8]?
  /// The child's ends, which `run` closes.
  private let sources: [Int32]
  private let targets: [Int32]

  /// Takes over the child's ends.
  ///
  /// - Throws: `EndpointError` `transport`, `spawn` with EINVAL when a string has a zero in it, which no program can
  ///   be handed. The ends are closed then.
  init(
    _ path: String, arguments: [String], environment: ChildEnvironment, workingDirectory: String?,
    channel: ChildChannel, ends: consuming ChannelEnds
  ) throws(EndpointError) {
    self.path = Array(path.utf8)
    self.arguments = [self.path] + arguments.map { Array($0.utf8) }
    self.workingDirectory = workingDirectory.map { Array($0.utf8) }
    switch channel {
    case .descriptor(let number):
      precondition(number >= 0, "a descriptor is not negative")
      self.environment = environment.entries(channel: number)
      targets = [number]
    case .standardStreams:
      self.environment = environment.entries(channel: nil)
      targets = [0, 1]
    }
    let strings = self.arguments + self.environment + (self.workingDirectory.map { [$0] } ?? [])
    guard !strings.contains(where: { $0.contains(0) }) else {
      throw EndpointError(.transport(TransportError(.spawn, .invalidArgument)))
    }
    sources = ends.releaseChildEnds()
  }

  /// Spawns, on a thread that may block on the file system. The child's ends are closed in every case:
  /// only then does the child's death end the channel.
  func run() throws(TransportError) -> (processID: Int32, child: ReapedChild) {
    defer { giveUp() }
    var pid: pid_t = 0
    let result = unsafe withCStrings(arguments) { arguments in
      unsafe withCStrings(environment) { environment in
        unsafe withCStrings(workingDirectory.map { [$0] } ?? []) { directory in
          unsafe sources.withUnsafeBufferPointer { sources in
            unsafe targets.withUnsafeBufferPointer { targets in
              var request = unsafe swsys_spawn()
              unsafe request.path = UnsafePointer(arguments[0])
              unsafe request.arguments = UnsafePointer(arguments)
              unsafe request.environment = UnsafePointer(environment)
              unsafe request.working_directory = UnsafePointer(directory[0])
              unsafe request.search_path = 1
              unsafe request.count = Int32(sources.count)
              unsafe request.sources = sources.baseAddress
              unsafe request.targets = targets.baseAddress
              return unsafe swsys_spawn(&request, &pid)
            }
          }
        }
      }
    }
    _ = try checked(.spawn, result)
    return (pid, try ReapedChild(pid))
  }

  /// Closes the child's ends instead of spawning.
  func giveUp() {
    for source in sources { _ = swsys_close(source) }
  }
}

/// Lends strings as C takes them: each with a zero behind it, their addresses with a null behind them.
private func withCStrings<Result>(
  _ strings: [[UInt8]], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  var bytes: [CChar] = []
  var offsets: [Int] = []
  for string in strings {
    offsets.append(bytes.count)
    bytes += string.map { CChar(bitPattern: $0) } + [0]
  }
  return unsafe bytes.withUnsafeMutableBufferPointer { bytes in
    unsafe withUnsafeTemporaryAllocation(
      of: UnsafeMutablePointer<CChar>?.self, capacity: offsets.count + 1
    ) { pointers in
      unsafe pointers.initialize(repeating: nil)
      for (index, offset) in offsets.enumerated() {
        unsafe pointers[index] = bytes.baseAddress.map { unsafe $0 + offset }
      }
      guard let start = pointers.baseAddress else { preconditionFailure("it holds one at least") }
      return unsafe body(start)
    }
  }
}
