import Foundation
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// `multiprocessing.Pipe()` and `Connection` of CPython's standard library, `send_bytes` and `recv_bytes`.
@Suite(
  .enabled(if: !StandardPython.all.isEmpty, Comment(rawValue: StandardPython.missing)),
  .lastResort, .leavesNothing)
struct MultiprocessingPipeTests {
  /// Where Python joins header and payload and where it does not, and sizes around.
  static let sizes = [0, 1, 4, 16_383, 16_384, 16_385, 65_536, 1 << 20]

  @Test(arguments: StandardPython.all, PythonPeer.Place.allCases)
  func `a Python child gets and sends messages as Connection does`(
    _ python: StandardPython, _ place: PythonPeer.Place
  ) async throws {
    let peer = try await PythonPeer.spawn(
      python.path, "peer.py",
      ["echo", "--framing", "mp-bytes", "--impl", "stdlib", "--transform", "reverse"] + place.arguments,
      at: place.channel, framing: .multiprocessingBytes)
    for size in Self.sizes {
      let payload = Payloads.payload(size)
      async let reply = peer.channel.receive()
      try await peer.channel.send(payload)
      #expect(areSame(try await reply, payload.reversed()), "\(size) bytes")
    }
    peer.channel.finishSending()
    #expect(try await peer.channel.next() == nil)
    #expect(try await peer.exitStatus == .exited(0))
  }

  @Test(arguments: StandardPython.all)
  func `a Python child gets and sends messages, blocking`(_ python: StandardPython) async throws {
    let peer = try await PythonPeer.spawn(
      python.path, "peer.py", ["echo", "--framing", "mp-bytes", "--impl", "stdlib", "--fd", "3"],
      at: .descriptor(3), framing: .multiprocessingBytes)
    try await TestThread {
      for size in Self.sizes {
        let payload = Payloads.payload(size)
        try peer.channel.blocking.send(payload)
        #expect(areSame(try peer.channel.blocking.receive(), payload), "\(size) bytes")
      }
      peer.channel.finishSending()
      #expect(try peer.channel.blocking.next() == nil)
      #expect(try peer.blocking.waitForExit() == .exited(0))
    }.value
  }

  @Test(arguments: StandardPython.all, ["async", "blocking"])
  func `a Swift child speaks through the Pipe() that a Python parent made`(
    _ python: StandardPython, _ colour: String
  ) async throws {
    let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let probe = URL(filePath: tests).deletingLastPathComponent().appending(path: "probe").path
    let parent = try await PythonPeer.spawn(
      python.path, "pipe_parent.py",
      [Self.sizes.map(String.init).joined(separator: ","), probe, "echo-multiprocessing", colour],
      at: .standardStreams, framing: .lines)
    #expect(try await parent.exitStatus == .exited(0))
  }

  /// Python reads an empty message, and what follows as a header; ours is an error that stays.
  @Test func `a negative length ends receiving for good`() async throws {
    let (reader, writer) = try makePipe()
    let messages = MessageReader(over: reader, framing: .multiprocessingBytes)
    _ = try await writer.send([0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 1, 8])
    #expect(try await messages.receive() == [7])
    for _ in 0..<2 {
      let error = await #expect(throws: EndpointError.self) { try await messages.receive() }
      guard case .framing(let framing) = error?.reason else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(framing.kind == .malformedHeader)
    }
  }
}
