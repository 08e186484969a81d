import Foundation
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// Python's socketwrapper 0.2.0 at the other end, in a real Python process.
@Suite(
  .enabled(if: PythonPeer.isAvailable, Comment(rawValue: PythonPeer.missing)), .lastResort, .leavesNothing)
struct SocketWrapperTests {
  @Test(arguments: PythonPeer.Place.allCases, PythonPeer.Mode.allCases)
  func `messages of every size come back from an echo`(
    _ place: PythonPeer.Place, _ mode: PythonPeer.Mode
  ) async throws {
    let peer = try await PythonPeer.start("echo", framing: .varInt, named: "varint", at: place, mode: mode)
    for payload in Payloads.all {
      async let reply = peer.channel.receive()
      try await peer.channel.send(payload)
      #expect(areSame(try await reply, payload), "\(payload.count) bytes")
    }
    peer.channel.finishSending()
    #expect(try await peer.channel.next() == nil)
    #expect(try await peer.exitStatus == .exited(0))
  }

  @Test(arguments: PythonPeer.Place.allCases, PythonPeer.Mode.allCases)
  func `messages of every size come back from an echo, blocking`(
    _ place: PythonPeer.Place, _ mode: PythonPeer.Mode
  ) async throws {
    let peer = try await PythonPeer.start("echo", framing: .varInt, named: "varint", at: place, mode: mode)
    try await TestThread {
      for payload in Payloads.all {
        try peer.channel.blocking.send(payload)
        #expect(areSame(try peer.channel.blocking.receive(), payload), "\(payload.count) bytes")
      }
      peer.channel.finishSending()
      #expect(try peer.channel.blocking.next() == nil)
      #expect(try peer.blocking.waitForExit() == .exited(0))
    }.value
  }

  @Test(arguments: PythonPeer.Place.allCases, PythonPeer.Mode.allCases)
  func `100 MiB go there and back`(_ place: PythonPeer.Place, _ mode: PythonPeer.Mode) async throws {
    let peer = try await PythonPeer.start("echo", framing: .varInt, named: "varint", at: place, mode: mode)
    let payload = Payloads.payload(Payloads.hugeSize)
    async let reply = peer.channel.receive()
    try await peer.channel.send(payload)
    #expect(areSame(try await reply, payload))
    peer.channel.finishSending()
    #expect(try await peer.exitStatus == .exited(0))
  }

  @Test(arguments: PythonPeer.Place.allCases, PythonPeer.Mode.allCases)
  func `a peer that drives gets its own messages back`(
    _ place: PythonPeer.Place, _ mode: PythonPeer.Mode
  ) async throws {
    try await Payloads.withFile { file in
      let peer = try await PythonPeer.start(
        "drive", ["--file", file], framing: .varInt, named: "varint", at: place, mode: mode)
      for try await message in peer.channel.messages { try await peer.channel.send(message) }
      #expect(try await peer.exitStatus == .exited(0))
    }
  }

  @Test(arguments: PythonPeer.Place.allCases, PythonPeer.Mode.allCases)
  func `a peer that floods and receives meanwhile gets its own messages back`(
    _ place: PythonPeer.Place, _ mode: PythonPeer.Mode
  ) async throws {
    let peer = try await PythonPeer.start(
      "flood", ["--random", "2000", "--seed", "7", "--max-size", "5000"], framing: .varInt, named: "varint",
      at: place, mode: mode)
    for try await message in peer.channel.messages { try await peer.channel.send(message) }
    #expect(try await peer.exitStatus == .exited(0))
  }

  @Test(arguments: PythonPeer.Place.allCases, PythonPeer.Mode.allCases)
  func `a source's messages arrive, and then its end`(
    _ place: PythonPeer.Place, _ mode: PythonPeer.Mode
  ) async throws {
    try await Payloads.withFile { file in
      let peer = try await PythonPeer.start(
        "source", ["--file", file], framing: .varInt, named: "varint", at: place, mode: mode)
      for payload in Payloads.all { #expect(areSame(try await peer.channel.receive(), payload)) }
      #expect(try await peer.channel.next() == nil)
      #expect(try await peer.exitStatus == .exited(0))
    }
  }

  @Test(arguments: PythonPeer.Place.allCases)
  func `a source that writes byte by byte, and breaks off, is read to the last byte`(
    _ place: PythonPeer.Place
  ) async throws {
    let peer = try await PythonPeer.start(
      "source", ["--hex", "68656c6c6f", "--hex", "", "--hex", "776f726c64", "--chunk", "1", "--cut", "10"],
      framing: .varInt, named: "varint", at: place)
    #expect(try await peer.channel.receive() == Array("hello".utf8))
    #expect(try await peer.channel.receive() == [])
    let error = await #expect(throws: EndpointError.self) { try await peer.channel.receive() }
    #expect(error?.reason == .truncated)
    #expect(error?.partialBytes == [5] + Array("wo".utf8))
  }

  @Test(arguments: PythonPeer.Place.allCases, PythonPeer.Mode.allCases)
  func `a sink gets every message, sent one by one and all at once`(
    _ place: PythonPeer.Place, _ mode: PythonPeer.Mode
  ) async throws {
    try await Payloads.withFile { file in
      for isBatch in [false, true] {
        let peer = try await PythonPeer.start(
          "sink", ["--file", file, "--expect-end", "eof"], framing: .varInt, named: "varint", at: place,
          mode: mode)
        if isBatch {
          try await peer.channel.send(contentsOf: Payloads.all)
        } else {
          for payload in Payloads.all { try await peer.channel.send(payload) }
        }
        peer.channel.finishSending()
        #expect(try await peer.exitStatus == .exited(0))
      }
    }
  }

  @Test(arguments: PythonPeer.Place.allCases, PythonPeer.Mode.allCases)
  func `threads and tasks use one endpoint at once against an echo`(
    _ place: PythonPeer.Place, _ mode: PythonPeer.Mode
  ) async throws {
    let share = 100
    let peer = try await PythonPeer.start("echo", framing: .varInt, named: "varint", at: place, mode: mode)
    let channel = peer.channel
    let threads = (0..<3).map { index in
      TestThread {
        try (0..<share).map { number in
          try channel.blocking.send("thread \(index).\(number)")
          return try channel.blocking.receive()
        }
      }
    }
    var received = try await withThrowingTaskGroup(of: [[UInt8]].self) { group in
      for index in 0..<3 {
        group.addTask {
          var received: [[UInt8]] = []
          for number in 0..<share {
            try await channel.send("task \(index).\(number)")
            received.append(try await channel.receive())
          }
          return received
        }
      }
      var all: [[UInt8]] = []
      for try await part in group { all += part }
      return all
    }
    for thread in threads { received += try await thread.value }
    let sent = (0..<3).flatMap { index in
      (0..<share).flatMap { ["thread \(index).\($0)", "task \(index).\($0)"] }
    }
    #expect(received.map { String(decoding: $0, as: UTF8.self) }.sorted() == sent.sorted())
    channel.finishSending()
    #expect(try await peer.exitStatus == .exited(0))
  }
}
