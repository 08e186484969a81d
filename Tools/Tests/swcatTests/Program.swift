import Foundation
import Glibc
import Testing

/// `swcat` as it was built beside these tests, run by a shell: pipelines are how it is used.
enum Program {
  /// The results of a run.
  struct Run {
    var status: Int32
    var output: [UInt8]
    var complaints: String

    var text: String { String(decoding: output, as: UTF8.self) }
  }

  static var path: String {
    get throws {
      let tests = try #require(
        CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? Bundle.main.executablePath)
      return URL(filePath: tests).deletingLastPathComponent().appending(path: "swcat").path
    }
  }

  /// Runs a shell script in which `swcat` is the program, with files for its streams, so that nobody waits for
  /// anybody. SIGPIPE has its default disposition, whatever the test runner's is.
  /// `$DIR` is a directory of the script's own.
  static func shell(
    _ script: String, input: [UInt8] = [], in shared: Directory? = nil, environment: [String: String] = [:]
  ) throws -> Run {
    let directory = try Directory()
    func file(_ name: String, _ bytes: [UInt8] = []) throws -> URL {
      let url = directory.url.appending(path: name)
      try Data(bytes).write(to: url)
      return url
    }
    let (output, complaints) = (try file("output"), try file("complaints"))
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [
      // A program that hangs ends as a failure.
      "--default-signal=PIPE", "timeout", "--kill-after=5", "240", "sh", "-c",
      #"swcat() { "$SWCAT" "$@"; }"# + "\n" + script,
    ]
    process.environment = ProcessInfo.processInfo.environment
      .merging(["SWCAT": try path, "DIR": (shared ?? directory).path]) { $1 }
      .merging(environment) { $1 }
    process.standardInput = try FileHandle(forReadingFrom: try file("input", input))
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = try FileHandle(forWritingTo: complaints)
    try process.run()
    process.waitUntilExit()
    return Run(
      status: process.terminationStatus, output: Array(try Data(contentsOf: output)),
      complaints: String(decoding: try Data(contentsOf: complaints), as: UTF8.self))
  }
}

/// A directory that is removed with its last reference. Its path is short enough for a socket's.
final class Directory: Sendable {
  let url: URL
  var path: String { url.path }

  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "swcat-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }
}

/// A program that serves until the test ends it. It is there when it has said a word on standard error: swcat says
/// "listening at" if it is told to be verbose.
final class Service {
  let process = Process()
  private let complaints = Pipe()
  private let output: URL
  private let directory: Directory
  private let said = Sayings()
  var sayings: String { said.text }

  /// - Parameter ready: what it says when it is there.
  init(
    _ path: String, _ arguments: [String], in directory: Directory, ready: String = "listening at "
  ) throws {
    self.directory = directory
    output = directory.url.appending(path: "output-\(UUID().uuidString)")
    try Data().write(to: output)
    process.executableURL = URL(filePath: path)
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = complaints
    try process.run()
    said.gather(from: complaints.fileHandleForReading)
    try #require(said.wait(for: ready), "it ended before it was there: \(said.text)")
  }

  convenience init(_ arguments: String..., in directory: Directory) throws {
    try self.init(try Program.path, ["listen", "--verbose"] + arguments, in: directory)
  }

  deinit { if process.isRunning { process.terminate() } }

  /// Waits until it has said this, or its end.
  func waits(forSaying text: String) -> Bool { said.wait(for: text) }

  /// Signals it, and waits for its end. A program may inherit a mask from the thread that starts it, so that signals which
  /// can be blocked reach only programs that ask for them, as swcat does: end others with SIGKILL.
  func end(_ signal: Int32 = SIGTERM) throws -> Program.Run {
    kill(process.processIdentifier, signal)
    return try wait()
  }

  func wait() throws -> Program.Run {
    said.waitForEnd()
    process.waitUntilExit()
    let status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    return Program.Run(status: status, output: Array(try Data(contentsOf: output)), complaints: said.text)
  }
}

/// The standard error of a program, gathered by a thread, so that the program never waits for the test.
// Invariant: the text and the end are touched with the condition locked.
private final class Sayings: @unchecked Sendable {
  private let condition = NSCondition()
  private var gathered = ""
  private var hasEnded = false

  var text: String { condition.withLock { gathered } }

  func gather(from handle: FileHandle) {
    let thread = Thread { [self] in
      while true {
        let more = handle.availableData
        condition.withLock {
          gathered += String(decoding: more, as: UTF8.self)
          hasEnded = more.isEmpty
          condition.broadcast()
        }
        if more.isEmpty { return }
      }
    }
    thread.start()
  }

  /// Waits until this has been said.
  ///
  /// - Returns: false if the program ended without saying it.
  func wait(for text: String) -> Bool {
    condition.withLock {
      while !gathered.contains(text), !hasEnded { condition.wait() }
      return gathered.contains(text)
    }
  }

  func waitForEnd() { condition.withLock { while !hasEnded { condition.wait() } } }
}

/// Whether a program is there.
func has(_ program: String) -> Bool {
  (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
    FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
  }
}

/// A Python with the packages that peers need; nil: tests with it are skipped.
let python = ProcessInfo.processInfo.environment["SWTEST_PYTHON"]

/// A process whose streams the test holds, to see what it does while it waits.
final class Conversation {
  let process = Process()
  private let input = Pipe()
  var writingEnd: FileHandle { input.fileHandleForWriting }
  private let output = Pipe()

  private let complaints = Pipe()

  init(_ arguments: String...) throws {
    process.executableURL = URL(filePath: try Program.path)
    process.arguments = arguments
    process.standardInput = input
    process.standardOutput = output
    process.standardError = complaints
    try process.run()
  }

  /// Waits for its end; what it complained of comes with it.
  func wait() throws -> Program.Run {
    let output = try output.fileHandleForReading.readToEnd() ?? Data()
    let text = try complaints.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    let status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    return Program.Run(
      status: status, output: Array(output), complaints: String(decoding: text, as: UTF8.self))
  }

  func signal(_ signal: Int32) { kill(process.processIdentifier, signal) }

  func write(_ bytes: [UInt8]) throws { try input.fileHandleForWriting.write(contentsOf: Data(bytes)) }
  func finishWriting() throws { try input.fileHandleForWriting.close() }

  /// Reads exactly this many bytes, or fewer at the end.
  func read(_ count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count,
      let more = try output.fileHandleForReading.read(upToCount: count - bytes.count), !more.isEmpty
    {
      bytes += more
    }
    return bytes
  }

  /// The most memory that it had resident so far, in KiB.
  var peakMemory: Int {
    get throws {
      let status = try String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
      let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
      return try #require(Int(line.split(separator: " ").dropFirst().first ?? ""))
    }
  }
}

/// Numbers that are the same in every run.
struct Seeded: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789abcdef")
  return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}
