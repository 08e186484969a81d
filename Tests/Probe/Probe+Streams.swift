import Foundation
import SWMessaging
import SystemPackage

/// Programs as users write them, at the end of whatever streams they are given.
extension Probe {
  /// A filter: each line of the standard input comes out in capitals, until the end, or the line "quit".
  ///
  /// - Parameter isStaged: says "born" on the standard error first, and reads one byte to begin.
  static func capitals(_ colour: String, isStaged: Bool) throws {
    if isStaged {
      try FileDescriptor.standardError.writeAll("born\n".utf8)
      var byte: UInt8 = 0
      _ = try unsafe withUnsafeMutableBytes(of: &byte) {
        unsafe try FileDescriptor.standardInput.read(into: $0)
      }
    }
    let lines: MessageDuplex<LineFraming>
    do {
      lines = try MessageDuplex(reading: .standardInput, writing: .standardOutput, framing: .lines)
    } catch {
      exitAfter(error)
    }
    guard colour == "async" else { return capitalsBlocking(lines) }
    inTask {
      do {
        while let line = try await lines.next(), line != quit { try await lines.send(capitals(line)) }
      } catch {
        exitAfter(error)
      }
    }
  }

  private static func capitalsBlocking(_ lines: MessageDuplex<LineFraming>) {
    do {
      while let line = try lines.blocking.next(), line != quit { try lines.blocking.send(capitals(line)) }
    } catch {
      exitAfter(error)
    }
  }

  /// The error is told by the exit status: 3 for a broken pipe, 4 for the rest.
  private static func exitAfter(_ error: any Error) -> Never {
    if case .transport(let error) = (error as? EndpointError)?.reason, error.errno == .brokenPipe { exit(3) }
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit(4)
  }

  private static let quit = Array("quit".utf8)

  private static func capitals(_ line: [UInt8]) -> [UInt8] {
    line.map { (97...122).contains($0) ? $0 - 32 : $0 }
  }

  /// One of several that write to one pipe: frames of up to PIPE_BUF bytes, header included, each with
  /// the sender's name, its number, and bytes that follow from both.
  static func frames(_ sender: UInt8, _ count: Int, _ colour: String) throws {
    let features: KernelFeatures? =
      switch sender % 3 {
      case 0: nil
      case 1: KernelFeatures(nowaitPipes: false, nosignalPipes: false)
      default: KernelFeatures(nowaitPipes: false, nosignalPipes: false, reopens: false)
      }
    let writer = try KernelFeatures.$override.withValue(features) {
      try MessageWriter(adopting: .standardOutput, framing: .varInt)
    }
    // One by one, and several at once.
    var batches: [[[UInt8]]] = [[]]
    for number in 0..<count {
      batches[batches.count - 1].append(frame(sender, number))
      if let last = batches.last, last.count > number % 5 { batches.append([]) }
    }
    guard colour == "async" else { return try sendBlocking(batches, writer) }
    inTask { [batches] in
      for batch in batches { try await writer.send(contentsOf: batch) }
    }
  }

  private static func sendBlocking(_ batches: [[[UInt8]]], _ writer: MessageWriter<VarIntFraming>) throws {
    for frame in batches.joined() { try writer.blocking.send(frame) }
  }

  /// With its header of three bytes at most 4096, and every seventh just that.
  private static func frame(_ sender: UInt8, _ number: Int) -> [UInt8] {
    let size = number % 7 == 0 ? 4_093 : number * 131 % 4_091
    return [sender, UInt8(number >> 8), UInt8(number & 0xFF)]
      + (0..<max(size - 3, 0)).map { UInt8(truncatingIfNeeded: $0 &* Int(sender + 1) &+ number) }
  }
}
