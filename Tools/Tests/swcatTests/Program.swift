import Foundation
import Testing

/// `swcat` as it was built beside these tests, run by a shell: pipelines are how it is used.
enum Program {
  /// What a run left behind.
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
  static func shell(_ script: String, input: [UInt8] = []) throws -> Run {
    let directory = FileManager.default.temporaryDirectory.appending(path: "swcat-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    func file(_ name: String, _ bytes: [UInt8] = []) throws -> URL {
      let url = directory.appending(path: name)
      try Data(bytes).write(to: url)
      return url
    }
    let (output, complaints) = (try file("output"), try file("complaints"))
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [
      "--default-signal=PIPE", "sh", "-c", #"swcat() { "$SWCAT" "$@"; }"# + "\n" + script,
    ]
    process.environment = ProcessInfo.processInfo.environment.merging(["SWCAT": try path]) { $1 }
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

/// A process whose streams the test holds, to see what it does while it waits.
final class Conversation {
  let process = Process()
  private let input = Pipe()
  var writingEnd: FileHandle { input.fileHandleForWriting }
  private let output = Pipe()

  init(_ arguments: String...) throws {
    process.executableURL = URL(filePath: try Program.path)
    process.arguments = arguments
    process.standardInput = input
    process.standardOutput = output
    try process.run()
  }

  func write(_ bytes: [UInt8]) throws { try input.fileHandleForWriting.write(contentsOf: Data(bytes)) }
  func finishWriting() throws { try input.fileHandleForWriting.close() }

  /// Reads just so many bytes; fewer at the end.
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
