internal import CSysShim
internal import SWIO
internal import Synchronization
internal import SystemPackage

extension EndpointError {
  /// The error of a child that could not be spawned.
  init(spawning errno: Errno, _ explanation: String) {
    self.init(.transport(TransportError(.spawn, errno)), explanation: explanation)
  }
}

/// A checked command with everything that the system call needs, in the form that C takes.
struct SpawnRequest {
  let command: Command
  private let candidates: [[UInt8]]
  private let arguments: [[UInt8]]
  private let environment: [[UInt8]]
  private let workingDirectory: [UInt8]?
  private let sources: [Int32]
  private let targets: [Int32]
  private let ends: ChannelEnds

  /// A child that runs its program, and this process's ends.
  struct Spawned {
    let processID: Int32
    let child: ReapedChild
    let channel: EndpointCore?
    let standardInput: EndpointCore?
    let standardOutput: EndpointCore?
    let standardError: EndpointCore?
    let ports: [Port]
  }

  /// Checks the command, makes the ends, and opens the files. May block on the file system.
  ///
  /// - Throws: `EndpointError` as ``Command/spawn()`` says. Then nothing has run, and nothing is left open.
  init(_ command: Command, channel: ChildChannel?) throws(EndpointError) {
    if let number = channel?.number, number < 0 {
      throw EndpointError(spawning: .badFileDescriptor, "descriptor \(number) of the child, for its channel")
    }
    if let errno = PidfdSupport.missing {
      throw EndpointError(
        spawning: errno, "this kernel, or a filter of system calls (seccomp), has no pidfds for this process")
    }
    self.command = command
    environment = try command.environment.entries(channel: channel?.number)
    arguments =
      [command.argumentZero.map { Array($0.utf8) } ?? command.program.bytes]
      + command.arguments.map { Array($0.utf8) }
    workingDirectory = command.workingDirectory?.bytes
    candidates = command.program.candidates(in: environment)
    if candidates.contains(where: { $0.contains(0) }) {
      throw EndpointError(spawning: .invalidArgument, "the program's path contains a NUL")
    }
    for (index, argument) in arguments.enumerated() where argument.contains(0) {
      throw EndpointError(spawning: .invalidArgument, "argument \(index) contains a NUL")
    }
    if workingDirectory?.contains(0) ?? false {
      throw EndpointError(spawning: .invalidArgument, "the working directory contains a NUL")
    }
    let ends = try ChannelEnds(channel)
    var sources = ends.targets
    for (number, descriptor) in command.descriptors {
      guard number > 2, sources[number] == nil, command.descriptors.count <= 200 else {
        throw EndpointError(
          spawning: .invalidArgument,
          "descriptor \(number) of the child: a number of a standard stream, the channel's, or one too many")
      }
      sources[number] = try Self.checked(descriptor, for: number)
    }
    for (number, stream) in command.streams {
      if channel?.takes(number) ?? false {
        guard stream == nil else {
          throw EndpointError(
            spawning: .invalidArgument, "\(Self.name(of: number)) of the child: it is the channel's")
        }
        continue
      }
      switch stream ?? (number == 0 ? .null : .inherited) {
      case .inherited: sources[number] = Int32(SWSYS_INHERIT)
      case .null: sources[number] = Int32(SWSYS_NULL)
      case .descriptor(let descriptor): sources[number] = try Self.checked(descriptor, for: number)
      case .file(let path, let access): ends.add(try Self.open(path, access, for: number), as: number)
      case .endpoint: try ends.addPipe(number)
      case .standardOutput:
        guard number == 2 else {
          throw EndpointError(spawning: .invalidArgument, "standard output of the child: it is itself")
        }
        // Numbers are in order, so standard output has been handled before.
        sources[2] = sources[1]
        if sources[1] == Int32(SWSYS_INHERIT) {
          sources[2] = swsys_get_close_on_exec(1) < 0 ? Int32(SWSYS_NULL) : 1
        }
      }
      sources.merge(ends.targets) { $1 }
    }
    let pairs = sources.sorted { $0.key < $1.key }
    targets = pairs.map(\.key)
    self.sources = pairs.map(\.value)
    self.ends = ends
  }

  /// Spawns once, on a thread that may block until the program has been loaded. The child's ends are closed here in every
  /// case, because only then does the child's end close the channel.
  func run() throws(EndpointError) -> Spawned {
    defer { ends.closeChildEnds() }
    var spawned = swsys_spawned()
    let result = unsafe withCStrings(candidates) { candidates in
      unsafe withCStrings(arguments) { arguments in
        unsafe withCStrings(environment) { environment in
          unsafe withCStrings(workingDirectory.map { [$0] } ?? []) { directory in
            unsafe sources.withUnsafeBufferPointer { sources in
              unsafe targets.withUnsafeBufferPointer { targets in
                var request = unsafe swsys_spawn()
                unsafe request.candidates = UnsafeRawPointer(candidates).assumingMemoryBound(
                  to: UnsafePointer<CChar>?.self)
                unsafe request.arguments = UnsafePointer(arguments)
                unsafe request.environment = UnsafePointer(environment)
                unsafe request.working_directory = UnsafePointer(directory[0])
                unsafe request.group = command.group.number
                unsafe request.keeps_ignored_signals = command.keepsIgnoredSignals
                unsafe request.count = Int32(sources.count)
                unsafe request.sources = sources.baseAddress
                unsafe request.targets = targets.baseAddress
                return unsafe swsys_spawn(&request, &spawned)
              }
            }
          }
        }
      }
    }
    guard result == 0 else {
      throw EndpointError(spawning: Errno(rawValue: -result), explanation(of: spawned))
    }
    let child = ReapedChild(
      pidfd: spawned.pidfd, processID: spawned.pid,
      // If the kernel cannot signal a group by a pidfd, the number has to stay reserved for the group.
      keepsZombie: command.group.isOwn && !PidfdSupport.signalsGroups)
    return Spawned(
      processID: spawned.pid, child: child, channel: ends.channel, standardInput: ends.standardInput,
      standardOutput: ends.standardOutput, standardError: ends.standardError, ports: ends.ports)
  }

  /// The object of the step that failed.
  private func explanation(of spawned: swsys_spawned) -> String {
    switch spawned.step {
    case Int32(SWSYS_STEP_GROUP.rawValue):
      return command.group == .newSession ? "a new session" : "process group \(command.group.number)"
    case Int32(SWSYS_STEP_DESCRIPTOR.rawValue):
      let index = Int(spawned.index)
      return targets.indices.contains(index) ? Self.name(of: targets[index]) + " of the child" : "descriptors"
    case Int32(SWSYS_STEP_DIRECTORY.rawValue):
      return "working directory \"\(command.workingDirectory ?? "")\""
    case Int32(SWSYS_STEP_PROGRAM.rawValue):
      let program = "program \"\(command.program)\""
      return command.program.isName && candidates.count > 1
        ? "\(program), looked up in \"\(String(decoding: Command.Program.path(in: environment), as: UTF8.self))\""
        : program
    default: return "program \"\(command.program)\": no process could be made"
    }
  }

  private static func name(of number: Int32) -> String {
    switch number {
    case 0: "standard input"
    case 1: "standard output"
    case 2: "standard error"
    default: "descriptor \(number)"
    }
  }

  private static func checked(
    _ descriptor: FileDescriptor, for number: Int32
  ) throws(EndpointError) -> Int32 {
    let flags = swsys_get_close_on_exec(descriptor.rawValue)
    if flags < 0 {
      throw EndpointError(
        spawning: Errno(rawValue: -flags),
        "descriptor \(descriptor.rawValue), for \(name(of: number)) of the child")
    }
    return descriptor.rawValue
  }

  private static func open(
    _ path: FilePath, _ access: Command.FileAccess, for number: Int32
  ) throws(EndpointError) -> OwnedDescriptor {
    let (mode, options): (FileDescriptor.AccessMode, FileDescriptor.OpenOptions) =
      switch access {
      case .read: (.readOnly, [])
      case .write(let mode): (.writeOnly, mode.options)
      }
    let opened = unsafe path.withPlatformString {
      unsafe swsys_open_for_child($0, mode.rawValue | options.rawValue)
    }
    if opened < 0 {
      let errno = Errno(rawValue: -opened)
      let reason = errno == .noSuchAddressOrDevice ? " (a named pipe whose other end is not open)" : ""
      throw EndpointError(spawning: errno, "file \"\(path)\", for \(name(of: number)) of the child\(reason)")
    }
    return OwnedDescriptor(adopting: FileDescriptor(rawValue: opened))
  }
}

/// The operations with pidfds that the kernel, and any filter of system calls, allows this process.
enum PidfdSupport {
  /// Why children cannot be spawned. Nil if they can. While they cannot, each access asks the kernel again, with two system
  /// calls.
  static var missing: Errno? {
    if isThere.withLock({ $0 }) { return nil }
    let result = swsys_pidfd_missing()
    if result < 0 { return Errno(rawValue: -result) }
    isThere.withLock { $0 = true }
    return nil
  }

  private static let isThere = Guarded(false)
  private static let probedGroups = swsys_pidfd_signals_groups()

  /// Set by tests to run the branch for older kernels.
  static let groupsOverride = Guarded<Bool?>(nil)

  /// Whether a group can be signalled by a pidfd (Linux 6.9).
  static var signalsGroups: Bool { groupsOverride.withLock { $0 } ?? probedGroups }
}

extension ChildChannel {
  /// The number of the channel that the child is told.
  var number: Int32? {
    if case .descriptor(let number) = self { return number }
    return nil
  }

  func takes(_ number: Int32) -> Bool {
    switch self {
    case .descriptor(let own): own == number
    case .standardStreams: number <= 1
    }
  }
}

extension Command {
  /// The standard streams with their numbers, in order.
  fileprivate var streams: [(Int32, Stream?)] {
    [(0, standardInput?.stream), (1, standardOutput?.stream), (2, standardError?.stream)]
  }
}

extension Command.Group {
  fileprivate var number: Int32 {
    switch kind {
    case .inherited: Int32(SWSYS_GROUP_INHERITED)
    case .new: 0
    case .session: Int32(SWSYS_GROUP_SESSION)
    // 0 would mean a new group, and negative numbers have other meanings.
    case .existing(let number): number > 0 ? number : .max
    }
  }
}

extension Command.Program {
  /// The paths to try, in order.
  fileprivate func candidates(in environment: [[UInt8]]) -> [[UInt8]] {
    if bytes.isEmpty || hasSlash { return [bytes] }
    let slash = UInt8(ascii: "/")
    let here = [UInt8(ascii: "."), slash]
    // Without a slash, programs that read the path, such as the interpreter of a script, would not take it as a path.
    guard isName else { return [here + bytes] }
    return Self.path(in: environment).split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      .map {
        directory in
        directory.isEmpty ? here + bytes : directory + (directory.last == slash ? [] : [slash]) + bytes
      }
  }

  /// `PATH` of the child.
  fileprivate static func path(in environment: [[UInt8]]) -> [UInt8] {
    ChildEnvironment.bytes(of: "PATH", in: environment) ?? Array("/bin:/usr/bin".utf8)
  }
}

/// Lends strings in the form that C takes: NUL-terminated, with a null pointer after the last address.
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
