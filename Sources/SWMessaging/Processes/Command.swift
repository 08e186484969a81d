public import SystemPackage

/// A program to be run as a child process, and everything that the child begins with.
///
///     var command = Command("sort", arguments: ["--reverse"])
///     command.environment = .inheriting(adding: ["LC_ALL": "C"])
///     command.workingDirectory = "/var/tmp"
///     command.standardError = .file("sort.log", .append)
///     let sorted = try await command.run(input: Array("b\na\nc\n".utf8))
///
/// A command is a value: it can be kept, changed and spawned as often as needed. ``spawn()`` starts a child,
/// ``spawn(channel:framing:mode:maximumFrameSize:)`` one with a channel of messages, ``run(input:limit:timeout:until:ending:)``
/// waits for its end and collects its output. ``withChildProcess(_:ending:_:)`` ends the child with its scope.
///
/// The child begins with no signal blocked and every signal's disposition at its default, unless
/// ``keepsIgnoredSignals`` is set. It has its standard streams, its end of a channel, ``descriptors``, and no other
/// descriptor, even if one was opened without close-on-exec.
public struct Command: Hashable, Sendable {
  /// A program, by its path or by its name.
  public struct Program: Hashable, Sendable, ExpressibleByStringInterpolation, CustomStringConvertible {
    /// The path or the name, as the system takes it. It need not be UTF-8.
    let bytes: [UInt8]
    let isName: Bool

    /// The program at this path. A relative path starts at the child's working directory.
    public static func path(_ path: FilePath) -> Program { Program(path.bytes, isName: false) }

    /// The first executable file of this name in the directories of `PATH`, as the child's environment has it. If the
    /// child has no such variable, `/bin` and `/usr/bin` are searched. Relative directories in it start at the child's
    /// working directory, and so does an empty one, which means that directory itself.
    public static func name(_ name: String) -> Program { Program(Array(name.utf8), isName: true) }

    private init(_ bytes: [UInt8], isName: Bool) {
      self.bytes = bytes
      self.isName = isName
    }

    /// Whether there is a slash in it.
    var hasSlash: Bool { bytes.contains(UInt8(ascii: "/")) }

    /// A path if there is a slash in it, else a name.
    public init(_ text: String) {
      self.init(Array(text.utf8), isName: !text.utf8.contains(UInt8(ascii: "/")))
    }

    /// A path if there is a slash in it, else a name.
    public init(stringLiteral value: String) { self.init(value) }

    /// The path or the name. Bytes that are no UTF-8 are replaced by U+FFFD.
    public var description: String { String(decoding: bytes, as: UTF8.self) }
  }

  /// The process group of a child. It decides about the signals that a terminal sends (Ctrl-C), and which
  /// processes ``SignalTarget/group`` reaches.
  public struct Group: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
      case inherited
      case new
      case session
      case existing(Int32)
    }

    let kind: Kind

    /// This process's group.
    public static var inherited: Group { Group(kind: .inherited) }
    /// A new group, of which the child is the leader.
    public static var new: Group { Group(kind: .new) }
    /// A new session (`setsid`), and in it a new group: the child has no controlling terminal.
    public static var newSession: Group { Group(kind: .session) }
    /// An existing group of this session, by its number, such as the process id of an earlier child with ``new``.
    /// That child must not have ended, or the number may be another group's. ``SignalTarget/group`` is not for a
    /// child that has joined: signal the leader's.
    public static func joining(_ number: Int32) -> Group { Group(kind: .existing(number)) }

    /// Whether the child leads its own process group.
    var isOwn: Bool { kind == .new || kind == .session }
  }

  /// The program.
  public var program: Program

  /// The arguments after the program's name.
  public var arguments: [String]

  /// The child's argument 0; nil: the program as it is written in ``program``.
  public var argumentZero: String?

  /// The child's environment variables.
  public var environment = ChildEnvironment.inherited

  /// The directory that the child starts in; nil: this process's.
  public var workingDirectory: FilePath?

  /// The child's process group.
  public var group = Group.inherited

  /// The child's standard input; nil: the channel's if it is of the kind ``ChildChannel/standardStreams``, else
  /// ``Input/null``.
  public var standardInput: Input?

  /// The child's standard output; nil: the channel's if it is of the kind ``ChildChannel/standardStreams``, else
  /// ``Output/inherited``. ``run(input:limit:timeout:until:ending:)`` collects it if it is nil.
  public var standardOutput: Output?

  /// The child's standard error; nil: ``Output/inherited``. ``run(input:limit:timeout:until:ending:)`` collects it if it is nil.
  public var standardError: Output?

  /// Further descriptors for the child: its number there, and a descriptor of this process, which stays the
  /// caller's and must be open until the spawn has returned. Numbers begin at 3, and there are at most 200.
  public var descriptors: [Int32: FileDescriptor] = [:]

  /// Whether signals that this process ignores stay ignored in the child. If not, which is the default, the child
  /// begins with every disposition at its default. In particular, a child of a program under `nohup`, which has
  /// SIGHUP ignored, is then ended by that signal when the terminal is closed.
  public var keepsIgnoredSignals = false

  /// How long the channel and the endpoints of standard streams outlive the child, if a descendant of the child still
  /// holds their other end; nil: until it closes it. Half a second unless set.
  ///
  /// When the time is over, everything that is in the channel is received, and then its end, also if the descendant goes on
  /// writing; sending fails with a broken pipe. Set it to nil for a child that hands its channel to another process and
  /// ends, such as one that turns itself into a daemon.
  public var channelGrace: Duration? = .milliseconds(500)

  /// - Parameters:
  ///   - program: the program, by its path or by its name.
  ///   - arguments: the arguments after the program's name.
  public init(_ program: Program, arguments: [String] = []) {
    self.program = program
    self.arguments = arguments
  }

  /// - Parameters:
  ///   - program: the program: a path if there is a slash in it, else a name.
  ///   - arguments: the arguments after the program's name.
  public init(_ program: String, arguments: [String] = []) {
    self.init(Program(program), arguments: arguments)
  }

  /// - Parameters:
  ///   - path: the path of the program. A relative path starts at the child's working directory.
  ///   - arguments: the arguments after the program's name.
  public init(_ path: FilePath, arguments: [String] = []) { self.init(.path(path), arguments: arguments) }
}

extension FilePath {
  /// The path as the system takes it, without the closing NUL.
  var bytes: [UInt8] {
    unsafe withPlatformString { start in
      unsafe UnsafeBufferPointer(start: start, count: length).map { UInt8(bitPattern: $0) }
    }
  }
}
