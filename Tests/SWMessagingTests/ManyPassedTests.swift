import Foundation
import Glibc
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Receives as many bytes at a time as chance has it; everything else is the socket's.
private final class RandomReads: SocketLike {
  private let socket: SystemTransport
  private let random: Guarded<SeededGenerator>

  init(_ socket: SystemTransport, seed: UInt64) {
    self.socket = socket
    random = Guarded(SeededGenerator(seed: seed))
  }

  private func cut(_ memory: UnsafeMutableRawBufferPointer) -> UnsafeMutableRawBufferPointer {
    let most = random.withLock { random in
      let largest = [8, 64, 1_024, 65_536][Int(random.next() % 4)]
      return 1 + Int(random.next() % UInt64(largest))
    }
    return unsafe UnsafeMutableRawBufferPointer(rebasing: memory.prefix(most))
  }

  var readinessSource: ReadinessSource { socket.readinessSource }
  var capabilities: TransportCapabilities { socket.capabilities }

  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    unsafe socket.receive(into: cut(memory))
  }

  func receive(
    into memory: UnsafeMutableRawBufferPointer, maximumDescriptors: Int, ancillary: inout Ancillary?
  ) -> Attempt {
    unsafe socket.receive(into: cut(memory), maximumDescriptors: maximumDescriptors, ancillary: &ancillary)
  }

  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { unsafe socket.send(bytes) }
  func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    unsafe socket.send(gathering: parts)
  }
  func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, with ancillary: OutgoingAncillary
  ) -> Attempt {
    unsafe socket.send(gathering: parts, with: ancillary)
  }
  func finishSending() throws(TransportError) { try socket.finishSending() }
  func close() { socket.close() }
}

/// Messages with descriptors, by the thousand: each comes once, whole, and with its own.
@Suite(.lastResort, .leavesNothing) struct ManyPassedTests {
  private static let count = stressed(6_000, full: 100_000)

  /// The contents of a message by its sender and number, so both ends know them without telling each other.
  private struct Plan {
    let files: [Int]
    let padding: Int

    init(sender: Int, number: Int) {
      var random = SeededGenerator(seed: UInt64(sender) << 32 | UInt64(number))
      // A third of them bring none.
      let count = random.next() % 3 == 0 ? 0 : Int(random.next() % 17)
      files = (0..<count).map { _ in Int(random.next() % UInt64(ManyPassedTests.fileCount)) }
      padding = Int(random.next() % (random.next() % 100 == 0 ? 100_000 : 600))
    }
  }

  private static let fileCount = 50

  /// Open files that can be told apart.
  private final class Files: Sendable {
    let descriptors: [FileDescriptor]
    let inodes: [UInt64]

    init() throws {
      let directory = try TestDirectory()
      defer { directory.remove() }
      descriptors = try (0..<fileCount).map { index in
        try FileDescriptor.open(
          directory("\(index)"), .readWrite, options: [.create, .closeOnExec], permissions: .ownerReadWrite)
      }
      inodes = try descriptors.map { try #require(Files.inode($0.rawValue)) }
    }

    deinit { for descriptor in descriptors { try? descriptor.close() } }

    static func inode(_ number: Int32) -> UInt64? {
      var status = stat()
      return unsafe fstat(number, &status) == 0 ? UInt64(status.st_ino) : nil
    }
  }

  private static func text(_ sender: Int, _ number: Int, _ plan: Plan) -> [UInt8] {
    Array("\(sender) \(number) ".utf8) + [UInt8](repeating: 46, count: plan.padding)
  }

  /// The received messages.
  private final class Books: Sendable {
    private struct State: Sendable {
      var seen: [Set<Int>] = [[], []]
      var faults: [String] = []
    }

    private let state = Guarded(State())
    private let files: Files

    init(_ files: Files) { self.files = files }

    var faults: [String] { state.withLock { $0.faults } }
    var counts: [Int] { state.withLock { $0.seen.map { $0.count } } }

    func note(_ message: ReceivedMessage<[UInt8]>) {
      let words = message.message.split(separator: 32).prefix(2).map { String(decoding: $0, as: UTF8.self) }
      guard words.count == 2, let sender = Int(words[0]), let number = Int(words[1]) else {
        return fault("not a message: \(message.message.prefix(30))")
      }
      let plan = Plan(sender: sender, number: number)
      if message.message != text(sender, number, plan) { fault("\(sender) \(number): other bytes") }
      var inodes: [UInt64] = []
      while let descriptor = message.descriptors?.take() {
        inodes.append(descriptor.withDescriptor { Files.inode($0.rawValue) ?? 0 })
      }
      if inodes != plan.files.map({ files.inodes[$0] }) || message.lostDescriptors {
        fault("\(sender) \(number): \(inodes.count) descriptors, which are not its \(plan.files.count)")
      }
      let isNew = state.withLock { $0.seen[sender].insert(number).inserted }
      if !isNew { fault("\(sender) \(number): twice") }
    }

    private func fault(_ text: String) { state.withLock { $0.faults.append(text) } }
  }

  /// Whether the message is on its way, or has gone.
  private static func isSent(_ error: EndpointError) throws -> Bool {
    switch error.reason {
    case .timedOut, .cancelled: return error.isCommitted
    default: throw error
    }
  }

  @Test(arguments: [1, 2] as [UInt64])
  func `each message comes once, with its own descriptors, under any reads and cancellations`(
    _ seed: UInt64
  ) async throws {
    let files = try Files()
    let pair = try DescriptorPair.sockets(.unix)
    let writer = try MessageDuplex(adopting: pair.first, framing: .varInt)
    let reader = MessageDuplex(
      transport: RandomReads(try SystemTransport(adopting: pair.second), seed: seed), framing: .varInt,
      mode: seed == 1 ? .readAhead : .exact)
    reader.maximumDescriptors = 16
    let half = Self.count / 2
    // Two senders: a task whose calls are cancelled, and a thread whose calls time out.
    let task = Task {
      var random = SeededGenerator(seed: seed + 10)
      for number in 0..<half {
        let plan = Plan(sender: 0, number: number)
        while true {
          let call = Task {
            try await writer.send(
              Self.text(0, number, plan), passing: plan.files.map { files.descriptors[$0] })
          }
          if random.next() % 3 == 0 { call.cancel() }
          guard case .failure(let error) = await call.result else { break }
          if try Self.isSent(try #require(error as? EndpointError)) { break }
        }
      }
    }
    let thread = TestThread {
      var random = SeededGenerator(seed: seed + 20)
      for number in 0..<half {
        let plan = Plan(sender: 1, number: number)
        while true {
          do throws(EndpointError) {
            try writer.blocking.send(
              Self.text(1, number, plan), passing: plan.files.map { files.descriptors[$0] },
              timeout: random.next() % 3 == 0 ? .microseconds(Int64(random.next() % 50)) : nil)
            break
          } catch {
            if try Self.isSent(error) { break }
          }
        }
      }
    }
    // Two receivers likewise, which end with the stream.
    let books = Books(files)
    let receiving = Task {
      var random = SeededGenerator(seed: seed + 30)
      while true {
        let call = Task { try await reader.receiveMessage() }
        if random.next() % 3 == 0 { call.cancel() }
        switch await call.result {
        case .success(let message): books.note(message)
        case .failure(let error):
          let reason = try #require(error as? EndpointError).reason
          if reason == .endOfStream { return }
          try #require(reason == .cancelled)
        }
      }
    }
    let receivingThread = TestThread {
      var random = SeededGenerator(seed: seed + 40)
      while true {
        do throws(EndpointError) {
          let timeout: Duration? = random.next() % 3 == 0 ? .microseconds(Int64(random.next() % 50)) : nil
          books.note(try reader.blocking.receiveMessage(timeout: timeout))
        } catch {
          if error.reason == .endOfStream { return }
          try #require(error.reason == .timedOut)
        }
      }
    }
    try await task.value
    try await thread.value
    writer.finishSending()
    try await receiving.value
    try await receivingThread.value
    #expect(books.faults.isEmpty, "\(books.faults.prefix(5))")
    #expect(books.counts == [half, half])
    writer.close()
    reader.close()
  }
}
