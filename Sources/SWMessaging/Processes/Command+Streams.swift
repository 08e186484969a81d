public import SystemPackage

extension Command {
  /// The source of a child's standard input.
  public struct Input: Hashable, Sendable {
    let stream: Stream

    /// This process's standard input. The child takes bytes from it that this process may have meant to read.
    public static var inherited: Input { Input(stream: .inherited) }
    /// `/dev/null`: the child reads the end at once.
    public static var null: Input { Input(stream: .null) }
    /// A descriptor of this process, which stays the caller's and must be open until the spawn has returned.
    public static func descriptor(_ descriptor: FileDescriptor) -> Input {
      Input(stream: .descriptor(descriptor))
    }
    /// A file, which is opened for reading. A relative path starts at this process's current directory. A named pipe must
    /// be open for writing, or have bytes in it: the spawn fails with ENXIO otherwise, because the child would read the end at
    /// once.
    public static func file(_ path: FilePath) -> Input { Input(stream: .file(path, .read)) }
    /// A pipe, to which this process writes with ``SpawnedProcess/standardInput``.
    public static var endpoint: Input { Input(stream: .endpoint) }
  }

  /// The destination of a child's standard output or standard error.
  public struct Output: Hashable, Sendable {
    let stream: Stream

    /// This process's stream of the same kind.
    public static var inherited: Output { Output(stream: .inherited) }
    /// `/dev/null`.
    public static var null: Output { Output(stream: .null) }
    /// A descriptor of this process, which stays the caller's and must be open until the spawn has returned.
    public static func descriptor(_ descriptor: FileDescriptor) -> Output {
      Output(stream: .descriptor(descriptor))
    }
    /// A file, which is opened for writing. A relative path starts at this process's current directory. A named pipe must
    /// be open for reading: the spawn fails with ENXIO otherwise.
    public static func file(_ path: FilePath, _ mode: FileMode = .truncate) -> Output {
      Output(stream: .file(path, .write(mode)))
    }
    /// A pipe, from which this process reads with ``SpawnedProcess/standardOutput`` or ``SpawnedProcess/standardError``.
    public static var endpoint: Output { Output(stream: .endpoint) }
    /// For standard error: the same destination as standard output, as with `2>&1` in a shell.
    public static var standardOutput: Output { Output(stream: .standardOutput) }
  }

  /// The way in which a file for a child's output is opened. A new file gets the permissions 0666 without the bits of
  /// this process's umask.
  public struct FileMode: Hashable, Sendable {
    let options: FileDescriptor.OpenOptions

    /// The file is made if it does not exist, and emptied if it does.
    public static var truncate: FileMode { FileMode(options: [.create, .truncate]) }
    /// The file is made if it does not exist, and every write goes to its end.
    public static var append: FileMode { FileMode(options: [.create, .append]) }
    /// The file is made; if it exists already, the spawn fails with EEXIST.
    public static var createNew: FileMode { FileMode(options: [.create, .exclusiveCreate]) }
    /// The file exists (else the spawn fails with ENOENT), and is written from its beginning: also for a device or a
    /// named pipe.
    public static var existing: FileMode { FileMode(options: []) }
  }

  enum Stream: Hashable, Sendable {
    case inherited
    case null
    case descriptor(FileDescriptor)
    case file(FilePath, FileAccess)
    case endpoint
    case standardOutput
  }

  enum FileAccess: Hashable, Sendable {
    case read
    case write(FileMode)
  }
}
