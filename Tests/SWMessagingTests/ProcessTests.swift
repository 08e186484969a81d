import Foundation
import SWMessaging
import SystemPackage
import TestSupport
import Testing

/// Properties that only show in a process of its own: lines 3, 8, 9, 10 and 11 of the contract.
@Suite(.lastResort, .leavesNothing) struct ProcessTests {
  private func probe(_ arguments: String..., input: FileDescriptor? = nil) throws -> Answer {
    try run(probePath(), arguments, input: input)
  }

  @Test func `line 21: descriptors that the kernel cut off cost their message's descriptors alone`()
    throws
  {
    let answer = try probe("descriptors-cut")
    #expect(answer.lines == ["bytes=[2]", "lost=true came=0", "free=true", "next=[3]"])
  }

  @Test func `descriptors that a stream's message lost leave the next messages theirs`() throws {
    let answer = try probe("descriptors-cut-stream")
    #expect(answer.lines == ["1: lost=true came=0", "2: lost=false came=0", "3: lost=false came=2"])
  }

  @Test func `descriptors beyond what a user may have under way are waited with`() throws {
    // The kernel counts those of root neither, nor is another user's count moved by other tests.
    let answer =
      getuid() == 0
      ? try run(
        "/usr/bin/setpriv",
        ["--reuid=65531", "--regid=65531", "--clear-groups", try probePath(), "many-in-flight"])
      : try probe("many-in-flight")
    #expect(answer.lines == ["waits=true", "whole=200"], "\(answer)")
  }

  @Test func `a descriptor that is received never becomes a standard stream`() throws {
    let answer = try probe("standard-free")
    #expect(answer.lines == ["came=3 standard=0"])
  }

  /// Each way of receiving eight megabytes or more. A copy that is never released would not be seen otherwise.
  @Test(.disabled(if: isSanitized, "a sanitizer's own memory counts"))
  func `what has been received is released`() throws {
    let answer = try probe("churn")
    #expect(answer.status == 0 && answer.lines.count == 11)
    for line in answer.lines {
      let kilobytes = try #require(line.split(separator: "=").last.flatMap { Int($0) })
      #expect(kilobytes < 4_000, "\(line) kB")
    }
  }

  /// Read here, handed on, read there, and taken back: over a pipe and over a socket, with and without reading
  /// ahead.
  @Test(arguments: ["exact", "ahead"], [true, false])
  func `messages are read by one process after the other, and none is lost`(
    _ mode: String, _ isSocket: Bool
  ) async throws {
    let (reader, writer): (MessageReader<VarIntFraming>, MessageWriter<VarIntFraming>)
    if isSocket {
      let pair = try DescriptorPair.sockets()
      let receiving = pair.first
      reader = try MessageReader(
        adopting: receiving, framing: .varInt, mode: mode == "exact" ? .exact : .readAhead)
      writer = try MessageWriter(adopting: pair.second, framing: .varInt)
    } else {
      let pair = try DescriptorPair.pipe()
      let receiving = pair.first
      reader = try MessageReader(
        adopting: receiving, framing: .varInt, mode: mode == "exact" ? .exact : .readAhead)
      writer = try MessageWriter(adopting: pair.second, framing: .varInt)
    }
    let messages = (0..<9).map { "message \($0)" + String(repeating: "!", count: $0 * 20) }
    try await writer.send(contentsOf: messages.map { Array($0.utf8) })
    writer.finishSending()
    for message in messages[..<3] { #expect(try await reader.receive() == Array(message.utf8)) }

    let detached = try reader.detach()
    #expect(detached.unread.isEmpty == (mode == "exact"))
    let unread = Data(detached.unread).base64EncodedString()
    let answer = try detached.descriptor.withDescriptor { descriptor in
      try probe("read-on", mode, "4", unread, input: descriptor)
    }
    #expect(answer.status == 0)
    #expect(answer.values("message") == Array(messages[3..<7]))

    let rest = try #require(answer.values("unread").first.flatMap { Data(base64Encoded: $0) })
    #expect(rest.isEmpty == (mode == "exact"))
    let again = try MessageReader(
      adopting: detached.release().descriptor, unread: Array(rest), framing: .varInt)
    for message in messages[7...] { #expect(try await again.receive() == Array(message.utf8)) }
    #expect(try await again.next() == nil)
  }

  @Test func `line 10: a program that only blocks has one thread`() throws {
    let answer = try probe("threads")
    #expect(answer.status == 0)
    #expect(answer.values("threads") == ["1"])
  }

  @Test func `line 10: two hundred waiting tasks and a waiting thread take no processor time`() throws {
    let answer = try probe("idle")
    #expect(answer.status == 0)
    // A second of waiting; a spinning thread would take most of a million.
    #expect((answer.values("idle-microseconds").first.flatMap { Int($0) } ?? .max) < 100_000)
  }

  @Test func `line 8: no SIGPIPE with the default disposition, on any branch, and no trace of it`() throws {
    let answer = try probe("sigpipe")
    #expect(answer.status == 0)
    let pipes = answer.values("pipe")
    #expect(pipes.count == 4 && pipes.allSatisfy { $0.contains("transport") }, "\(pipes)")
    let sockets = answer.values("socket")
    #expect(sockets.count == 2 && sockets.allSatisfy { $0.contains("transport") }, "\(sockets)")
    #expect(answer.values("default") == ["true"])
    #expect(answer.values("pending") == ["0"])
    #expect(answer.values("blocked") == ["0"])
  }

  /// Fault 21 of the original: 2.1 times the message.
  @Test(
    .disabled(if: isSanitized, "a sanitizer's own memory counts"),
    arguments: [17 << 20, 33 << 20, 65 << 20, 100 << 20])
  func `line 9: fault 21: the peak of receiving is little more than the message`(_ byteCount: Int) throws {
    let answer = try probe("memory", "\(byteCount)")
    #expect(answer.status == 0)
    let percent = answer.values("percent").first.flatMap { Int($0) } ?? .max
    #expect(percent < 130)
  }

  @Test func `parking works when no descriptor is left`() throws {
    let answer = try probe("emfile")
    #expect(answer.status == 0)
    #expect(answer.lines == ["task=task", "thread=thread", "late=true", "again=again"])
  }

  @Test(arguments: ["park-on-reactor", "park-on-messaging"])
  func `line 11: a blocking park on the reactor's own thread traps`(_ park: String) throws {
    let answer = try probe(park)
    #expect([-SIGILL, -SIGTRAP].contains(answer.status))
    #expect(answer.lines == ["parking=true"])
  }
}
