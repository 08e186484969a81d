import CSysShim
import Foundation
import Glibc
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import Testing

/// Contract line 11: async never blocks a thread of the pool.
@Suite(.serialized, .timeLimit(.minutes(2))) struct BlockedPoolTests {
  /// A message reader reads ahead one byte less than what counts as long: a reader of a file is never
  /// offloaded, however slow the disk.
  @Test func `what a reader of a file reads ahead counts as long`() throws {
    let path = FilePath("/proc/self/exe")
    let file = OwnedDescriptor(adopting: try FileDescriptor.open(path, .readOnly, options: .closeOnExec))
    let transport = try makeTransport(over: file.withDescriptor { $0.rawValue }, for: .readable)
    #expect(transport is FileTransport)
    var memory = [UInt8](repeating: 0, count: ReceiveBuffer.blockSize)
    let attempt = unsafe memory.withUnsafeMutableBytes { unsafe transport.receive(into: $0) }
    #expect(attempt == .offload)
    withExtendedLifetime(file) {}
  }

  /// Where there is nothing but `poll`, somebody else may take the bytes between that and the read. Needs luck:
  /// `passed` says nothing, a failure everything.
  @Test func `the reactor does not sleep in a read that somebody else has emptied`() async throws {
    let pair = try DescriptorPair.pipe()
    let (reading, writing) = (pair.first.release(), pair.second.release())
    // Another process that shares the description, such as a child with our standard input.
    let shared = try reading.duplicate()
    let reader = try KernelFeatures.$override.withValue(
      KernelFeatures(nowaitPipes: false, nosignalPipes: false, reopens: false)
    ) { try SocketReader(adopting: reading) }
    let isOver = Raised()
    let thief = TestThread {
      var byte: UInt8 = 0
      var stolen = 0
      while !isOver.isUp {
        if unsafe swsys_read_nowait(shared.rawValue, &byte, 1) == 1 { stolen += 1 }
      }
      return stolen
    }
    let receiving = Task { while true { _ = try await reader.receive() } }
    let end = ContinuousClock.now + .seconds(3)
    var isStuck = false
    var rounds = 0
    while ContinuousClock.now < end, !isStuck {
      rounds += 1
      _ = try writing.writeAll([1])
      // Nothing is there now but for a moment; the reactor answers, or is asleep in a read.
      let isAwake = Raised()
      Task(executorPreference: .reactor) { @concurrent in isAwake.raise() }
      // A read that sleeps would sleep for ever, so patience costs nothing else.
      isStuck = !(await holds(within: .seconds(60)) { isAwake.isUp })
    }
    // In `/proc` 0 is `read` on x86-64, and 63 elsewhere.
    let call = try reactorSystemCall()
    #expect(!isStuck, "in round \(rounds) the reactor sleeps in a read: system call \(call)")
    isOver.raise()
    _ = try await thief.value
    receiving.cancel()
    // Wakes the read.
    _ = try writing.writeAll([1])
    _ = await receiving.result
    try writing.close()
    try shared.close()
  }

  /// The system call in which the reactor's thread is.
  private func reactorSystemCall() throws -> String {
    let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")
    let reactor = threads.first {
      (try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8)) == "sw-reactor\n"
    }
    let call = try String(contentsOfFile: "/proc/self/task/\(reactor ?? "self")/syscall", encoding: .utf8)
    return String(call.prefix(12))
  }
}
