import Foundation
import SWJSON
import SWMessaging
import SWPickle
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// The cookbook's passages about messages.
@Suite(.lastResort, .leavesNothing) struct MessageRecipeTests {
  struct Event: Codable, Equatable, Sendable {
    var id: Int
  }

  @Test func `blank lines and noise between JSON lines do not end the loop`() async throws {
    let (output, writer) = try makePipe()
    try await writer.send("\n{\"id\":1}\nStarting...\r\n  \r\n{\"id\":2}\n")
    writer.close()
    var (events, noise): ([Event], [String]) = ([], [])
    // begin NoiseBetweenLines
    let framing = LineFraming.lines(skipsBlankLines: true).json(Event.self).results
    let reader = MessageReader(over: output, framing: framing)
    for try await result in reader.messages {
      switch result {
      case .success(let event): events.append(event)
      case .failure(let error): noise.append("\(error)")  // shows the line
      }
    }
    // end NoiseBetweenLines
    #expect(events == [Event(id: 1), Event(id: 2)])
    #expect(noise.count == 1 && noise.first?.contains("Starting...") == true)
  }

  @Test func `the last line counts though it has no end`() async throws {
    let (output, writer) = try makePipe()
    try await writer.send("one\ntwo")
    writer.close()
    var lines: [String] = []
    // begin LastLine
    let reader = MessageReader(over: output, framing: .lines(takesLastLine: true))
    for try await line in reader.messages {
      lines.append(String(decoding: line, as: UTF8.self))
    }
    // end LastLine
    #expect(lines == ["one", "two"])
  }

  @Test func `a message that is declared too large is refused before memory is reserved`() async throws {
    let (connection, stranger) = try makeSocketPair()
    try await stranger.send([0, 0, 0, 2, 0x68, 0x69, 0xff, 0xff, 0xff, 0xff])
    let log = Log<String>()
    func handle(_ message: [UInt8]) { log.append(text(message)) }
    // begin HugeMessage
    let peer = MessageDuplex(
      over: connection, framing: .lengthPrefixed(.uint32),
      maximumFrameSize: 1 << 20)
    do throws(EndpointError) {
      while let message = try await peer.next() { handle(message) }
    } catch {
      if case .framing(let fault) = error.reason,
        case .tooLarge(let declared, let limit) = fault.kind
      {
        log.append("a message of \(declared) bytes, and \(limit) are allowed")
      }
      peer.close()  // where the next message begins is not known any more
    }
    // end HugeMessage
    #expect(log.entries == ["hi", "a message of 4294967299 bytes, and 1048576 are allowed"])
    await #expect(throws: EndpointError.self) { try await stranger.receive(timeout: .patience) }
  }

  @Test func `a stream that was cut off is told from one that has ended`() async throws {
    let (input, writer) = try makePipe()
    try await writer.send([3, 1, 2, 3, 7, 4, 5])
    writer.close()
    let reader = MessageReader(over: input, framing: .protobufDelimited)
    var records: [[UInt8]] = []
    var missing: String?
    // begin CutStream
    do throws(EndpointError) {
      while let record = try await reader.next() { records.append(record) }
      // Every record has come whole.
    } catch {
      guard error.reason == .truncated else { throw error }
      let count = error.partialBytes.count
      missing = "the stream ends after \(count) bytes of record \(records.count)"
    }
    // end CutStream
    #expect(records == [[1, 2, 3]])
    #expect(missing == "the stream ends after 3 bytes of record 1")
  }

  @Test func `a pickle of a stranger is refused by name and runs nothing`() async throws {
    let (input, output) = try makePipe()
    let stranger = MessageWriter(over: output, framing: .multiprocessingBytes)
    try await stranger.send("cos\nsystem\n(S'echo gotcha'\ntR.")
    try await stranger.send("I42\n.")
    stranger.close()
    output.close()
    var (values, refused): ([PickleValue], [String]) = ([], [])
    // begin UntrustedPickle
    var registry = PickleRegistry.strict
    registry.register("app.models", "User")  // the one class that may appear
    let bytes = MultiprocessingBytesFraming.multiprocessingBytes
    let reader = MessageReader(
      over: input, framing: bytes.pickle(registry: registry).results)
    for try await result in reader.messages {
      switch result {
      case .success(let value): values.append(value)
      case .failure(let error): refused.append("\(error)")
      }
    }
    // end UntrustedPickle
    #expect(values == [42])
    #expect(refused.count == 1 && refused.first?.contains("system") == true)
  }

  @Test func `a greeting in lines is followed by messages in another framing`() async throws {
    let (connection, other) = try makeSocketPair()
    // The peer does not wait between the two.
    try await other.send(Array("WELCOME\n".utf8) + [5] + Array("hello".utf8))
    // begin ChangeOfFraming
    let greeting = MessageDuplex(over: connection, framing: .lines)
    try await greeting.send("HELLO 1")
    let reply = try await greeting.receive()
    let peer = MessageDuplex(over: connection, framing: .varInt)
    let first = try await peer.receive()  // goes on where the line has ended
    // end ChangeOfFraming
    #expect(text(reply) == "WELCOME")
    #expect(text(first) == "hello")
    #expect(text(try await other.receive(timeout: .patience)) == "HELLO 1\n")
  }

  @Test func `a descriptor comes with its message`() async throws {
    let directory = try ScratchDirectory()
    defer { directory.remove() }
    try Data("contents".utf8).write(to: URL(filePath: directory("file").string))
    let (sender, receiver) = try makeSocketPair(framing: .varInt)
    // begin DescriptorWithMessage
    // The sender keeps its own copy.
    let file = try FileDescriptor.open(directory("file"), .readOnly)
    defer { try? file.close() }
    receiver.maximumDescriptors = 1  // none are taken unless this is set
    try await sender.send("a file", passing: [file])

    let received = try await receiver.receiveMessage()
    guard let descriptor = received.descriptors?.take() else {
      throw Errno.badFileDescriptor
    }
    let contents = try await SocketReader(adopting: descriptor).receive(upTo: 100)
    // end DescriptorWithMessage
    #expect(text(received.message) == "a file")
    #expect(text(contents) == "contents")
  }
}
