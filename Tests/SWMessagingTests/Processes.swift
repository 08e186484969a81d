import Foundation
import SWMessaging
import SystemPackage
import TestSupport
import Testing

/// The results of a process.
struct Answer {
  /// The exit status, or a signal's number below zero.
  var status: Int32
  var output: String

  var lines: [String] { output.split(separator: "\n").map(String.init) }

  func values(_ name: String) -> [String] {
    lines.filter { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
  }
}

/// A program that is built beside the tests.
func binary(_ name: String) throws -> String {
  let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
  return URL(filePath: tests).deletingLastPathComponent().appending(path: name).path
}

func probePath() throws -> String { try binary("probe") }

/// A process that is ready to run, and ends at its deadline. Foundation's own spawning: ours is not to be trusted with its own tests.
func process(_ path: String, _ arguments: [String], environment: [String: String] = [:]) -> Process {
  let process = Process()
  process.executableURL = URL(filePath: path)
  process.arguments = arguments
  process.environment = ProcessInfo.processInfo.environment
    .merging(["SWIFT_BACKTRACE": "enable=no"]) { $1 }.merging(environment) { $1 }
  limitLife(of: process)
  return process
}

/// Runs a process until its end, with this as its standard input, or without one.
func run(
  _ path: String, _ arguments: [String], environment: [String: String] = [:], input: FileDescriptor? = nil
) throws -> Answer {
  let process = process(path, arguments, environment: environment)
  let output = Pipe()
  process.standardInput =
    input.map { FileHandle(fileDescriptor: $0.rawValue, closeOnDealloc: false) } ?? FileHandle.nullDevice
  process.standardOutput = output
  process.standardError = FileHandle.nullDevice
  try process.run()
  // Foundation's own reading traps when a signal interrupts it, and other tests play with signals.
  let reader = try SocketReader(
    duplicating: FileDescriptor(rawValue: output.fileHandleForReading.fileDescriptor))
  var bytes: [UInt8] = []
  do throws(EndpointError) {
    while true { bytes += try reader.blocking.receive() }
  } catch {
    #expect(error.reason == .endOfStream)
  }
  process.waitUntilExit()
  return Answer(status: process.exitStatus, output: String(decoding: bytes, as: UTF8.self))
}

extension Process {
  /// As in `Answer`.
  var exitStatus: Int32 {
    terminationReason == .uncaughtSignal ? -terminationStatus : terminationStatus
  }
}
