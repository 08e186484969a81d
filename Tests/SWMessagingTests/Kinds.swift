import CSysShim
import CSysTestSupport
import Foundation
import SWMessaging
import SWTesting
import SystemPackage
import Testing

/// Descriptors that carry a stream of bytes. Datagrams and seqpackets are another matter.
enum StreamKind: String, CaseIterable, Sendable {
  case pipe
  /// A pipe with O_DIRECT on both ends.
  case packetPipe
  /// A pipe with a name.
  case fifo
  /// A pseudo-terminal that hands out lines: its master writes, the terminal reads.
  case terminal
  case rawTerminal
  /// The way back: the terminal writes, its master reads.
  case master
  case unix
  case tcp

  var isTerminal: Bool { [.terminal, .rawTerminal, .master].contains(self) }
  /// The rest of an unfinished line when the writer is gone: a terminal that is hung up drops it.
  var keepsBytesBehindTheEnd: Bool { self != .terminal && self != .rawTerminal }
}

/// Abilities of the present kernel, and of older ones.
enum KernelBranch: String, Sendable {
  case native
  /// `RWF_NOWAIT`, and no `RWF_NOSIGNAL`.
  case signalling
  /// A description of our own, through `/proc`.
  case reopened
  /// Nothing but `poll`.
  case polled

  var features: KernelFeatures? {
    switch self {
    case .native: nil
    case .signalling: KernelFeatures(nowaitPipes: true, nosignalPipes: false)
    case .reopened: KernelFeatures(nowaitPipes: false, nosignalPipes: false)
    case .polled: KernelFeatures(nowaitPipes: false, nosignalPipes: false, reopens: false)
    }
  }
}

/// A row of the table: a kind, and the way in which it is used.
struct Row: CustomTestStringConvertible, Sendable {
  var kind: StreamKind
  var branch: KernelBranch

  var testDescription: String { "\(kind.rawValue), \(branch.rawValue)" }

  static let all: [Row] = StreamKind.allCases.flatMap { kind in
    branches(of: kind).map { Row(kind: kind, branch: $0) }
  }

  private static func branches(of kind: StreamKind) -> [KernelBranch] {
    switch kind {
    case .pipe, .packetPipe: [.native, .signalling, .reopened, .polled]
    case .fifo, .terminal, .rawTerminal, .master: [.native, .polled]
    case .unix, .tcp: [.native]
    }
  }

  /// The reading and the writing end.
  func descriptors() throws -> DescriptorPair {
    switch kind {
    case .pipe: return try DescriptorPair.pipe()
    case .packetPipe: return try packetPipe(declared: true)
    case .fifo: return try Fifo().open()
    case .terminal:
      let terminal = try PseudoTerminal(isRaw: false)
      return DescriptorPair(first: terminal.line, second: terminal.master)
    case .rawTerminal:
      let terminal = try PseudoTerminal(isRaw: true)
      return DescriptorPair(first: terminal.line, second: terminal.master)
    case .master:
      let terminal = try PseudoTerminal(isRaw: true)
      return DescriptorPair(first: terminal.master, second: terminal.line)
    case .unix: return try DescriptorPair.sockets(.unix)
    case .tcp: return try DescriptorPair.sockets(.tcp)
    }
  }

  func raw() throws -> (SocketReader, SocketWriter) {
    let pair = try descriptors()
    let (reading, writing) = (pair.first.release(), pair.second.release())
    return try KernelFeatures.$override.withValue(branch.features) {
      (try SocketReader(adopting: reading), try SocketWriter(adopting: writing))
    }
  }

  /// Endpoints for lines of text, which every kind lets through.
  func lines() throws -> (MessageReader<LineFraming>, MessageWriter<LineFraming>) {
    let (reader, writer) = try raw()
    return (MessageReader(over: reader, framing: .lines), MessageWriter(over: writer, framing: .lines))
  }
}

/// A line that tells its number, of up to 3,000 bytes: terminals cut one at 4,095.
func line(_ number: Int) -> [UInt8] {
  let letters = makeBytes(number * 37 % 2_989) { UInt8(97 + ($0 + number) % 26) }
  return Array("\(number) ".utf8) + letters
}

/// A pipe with O_DIRECT.
///
/// - Parameter declared: the reading end has the flag, too.
func packetPipe(declared: Bool) throws -> DescriptorPair {
  var ends: [Int32] = [-1, -1]
  let result = unsafe ends.withUnsafeMutableBufferPointer { ends in
    unsafe ends.baseAddress.map { unsafe swsys_packet_pipe($0, declared) } ?? -1
  }
  try #require(result == 0)
  return DescriptorPair(
    first: OwnedDescriptor(adopting: FileDescriptor(rawValue: ends[0])),
    second: OwnedDescriptor(adopting: FileDescriptor(rawValue: ends[1])))
}

/// A named pipe in a directory of its own, which goes with this.
final class Fifo: Sendable {
  private let directory: URL
  let path: FilePath

  init() throws {
    directory = FileManager.default.temporaryDirectory.appending(path: "kinds-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
    path = FilePath(directory.appending(path: "fifo").path)
    let isMade = unsafe path.withPlatformString { unsafe mkfifo($0, 0o600) } == 0
    try #require(isMade)
  }

  deinit { try? FileManager.default.removeItem(at: directory) }

  /// A reader that does not wait for a writer, though its attempts would.
  func openForReading() throws -> OwnedDescriptor {
    OwnedDescriptor(
      adopting: try FileDescriptor.open(path, .readOnly, options: [.nonBlocking, .closeOnExec]))
  }

  func openForWriting() throws -> OwnedDescriptor {
    OwnedDescriptor(adopting: try FileDescriptor.open(path, .writeOnly, options: .closeOnExec))
  }

  /// Both ends, blocking: each open waits for the other.
  func open() throws -> DescriptorPair {
    // This one lets both through.
    let both = try FileDescriptor.open(path, .readWrite, options: .closeOnExec)
    defer { try? both.close() }
    let reading = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
    return DescriptorPair(first: OwnedDescriptor(adopting: reading), second: try openForWriting())
  }
}

/// A pseudo-terminal: the master, and the line that programs take for a terminal.
struct PseudoTerminal: ~Copyable {
  var master: OwnedDescriptor
  var line: OwnedDescriptor

  /// - Parameter isRaw: bytes as they are; else lines, without an echo.
  init(isRaw: Bool) throws {
    let noControl = FileDescriptor.OpenOptions(rawValue: O_NOCTTY | O_CLOEXEC)
    let master = try FileDescriptor.open("/dev/ptmx", .readWrite, options: noControl)
    var unlocked: Int32 = 0
    let isUnlocked = unsafe ioctl(master.rawValue, 0x4004_5431, &unlocked) == 0  // TIOCSPTLCK
    var number: UInt32 = 0
    let isNumbered = unsafe ioctl(master.rawValue, 0x8004_5430, &number) == 0  // TIOCGPTN
    try #require(isUnlocked && isNumbered)
    let line = try FileDescriptor.open(
      FilePath("/dev/pts/\(number)"), .readWrite, options: noControl)
    self.master = OwnedDescriptor(adopting: master)
    self.line = OwnedDescriptor(adopting: line)
    Self.change(line.rawValue) { settings in
      if isRaw {
        unsafe cfmakeraw(&settings)
      } else {
        settings.c_lflag &= ~tcflag_t(ECHO)
      }
    }
  }

  /// Changes how a terminal behaves.
  static func change(_ number: Int32, _ body: (inout termios) -> Void) {
    var settings = termios()
    let isRead = unsafe tcgetattr(number, &settings) == 0
    body(&settings)
    let isSet = unsafe tcsetattr(number, TCSANOW, &settings) == 0
    #expect(isRead && isSet)
  }

  /// Everything that `tcgetattr` tells, as text to compare.
  static func settings(_ number: Int32) -> String {
    var settings = termios()
    guard unsafe tcgetattr(number, &settings) == 0 else { return "no terminal" }
    return unsafe withUnsafeBytes(of: &settings) { bytes in
      unsafe bytes.map { String($0, radix: 16) }.joined(separator: " ")
    }
  }
}

/// The flags of a description, as the kernel shows them.
func descriptionFlags(_ number: Int32) throws -> String {
  let text = try String(contentsOfFile: "/proc/self/fdinfo/\(number)", encoding: .utf8)
  let flags = text.split(separator: "\n").first { $0.hasPrefix("flags:") }
  // The flag of the number itself, close-on-exec, is shown among them.
  let value = try #require(flags.flatMap { Int32($0.dropFirst(6).drop { $0.isWhitespace }, radix: 8) })
  return String(value & ~O_CLOEXEC, radix: 8)
}
