import Foundation
import SWMessaging
import SWPickle
import TestSupport
import Testing

/// Python's `multiprocessing.connection` at the other end, with values in pickles.
@Suite(
  .enabled(if: PythonPeer.isAvailable, Comment(rawValue: PythonPeer.missing)), .lastResort, .leavesNothing)
struct MultiprocessingValueTests {
  /// The interpreters there are: the one of the other tests, and what a developer's pyenv has beside it.
  static let interpreters: [String] = {
    let versions = URL(filePath: NSHomeDirectory()).appending(path: ".pyenv/versions")
    let others = ["3.8", "3.11", "3.13"].compactMap { prefix in
      (try? FileManager.default.contentsOfDirectory(atPath: versions.path))?.filter {
        $0.hasPrefix("\(prefix).")
      }
      .sorted().last.map { versions.appending(path: "\($0)/bin/python3").path }
    }
    return [PythonPeer.interpreter].compactMap { $0 }
      + others.filter { FileManager.default.isExecutableFile(atPath: $0) }
  }()

  static func start<F: Framing>(
    _ role: String, _ framing: F, interpreter: String
  ) async throws -> ChildProcess<F> {
    guard let scripts = Bundle.module.resourceURL?.appending(path: "Peers") else {
      throw PythonPeer.NotAvailable()
    }
    return limitLife(
      of: try await ChildProcess.spawn(
        interpreter, arguments: [scripts.appending(path: "values.py").path, role],
        environment: .inheriting(adding: ["PYTHONDONTWRITEBYTECODE": "1"]), channel: .descriptor(3),
        framing: framing),
      named: "values.py \(role)")
  }

  static let values: [PickleValue] = [
    .none, true, 0, -1, 1.5, "", "hé中😀", .bytes([]), .bytes([0, 255]), .byteArray([1]), [], [1, [2, [3]]],
    .tuple([]), .tuple([1, "a", nil]), [:], ["a": 1], .dict([(.tuple([1, 2]), "x"), (nil, 0)]), .set([1, 2]),
    .frozenSet(["a"]), PickleValue("123456789012345678901234567890" as PickleInt),
    PickleValue(PickleComplex(real: 1, imaginary: -2)), PickleValue(PickleUUID(number: 7)),
    .list((0..<2500).map { PickleValue($0) }), .bytes([UInt8](repeating: 7, count: 1 << 20)),
  ]

  @Test(arguments: interpreters, [PickleProtocol.four, .five])
  func `values come back from an echo as they were`(_ python: String, _ version: PickleProtocol) async throws
  {
    let peer = try await Self.start("echo", .multiprocessing(version: version), interpreter: python)
    for value in Self.values {
      try await peer.channel.send(value)
      let reply = try await peer.channel.receive()
      #expect(reply == value)
    }
    peer.channel.finishSending()
    #expect(try await peer.channel.next() == nil)
    #expect(try await peer.exitStatus == .exited(0))
  }

  @Test(arguments: interpreters)
  func `a peer that drives gets its own values back`(_ python: String) async throws {
    let peer = try await Self.start("drive", .multiprocessing, interpreter: python)
    var last = PickleValue.none
    for try await value in peer.channel.messages {
      last = value
      if value["checked"] == nil { try await peer.channel.send(value) }
    }
    #expect(last == ["checked": 40])
    #expect(try await peer.exitStatus == .exited(0))
  }

  struct Request: Codable, Sendable {
    var id: Int
    var text: String
    var tags: [String]
    var when: Date
    var payload: Data
  }
  struct Reply: Codable, Equatable, Sendable {
    var id: Int
    var text: String
    var count: Int
    var when: Date
    var payload: Data
    var ratio: Double
    var missing: Int?
  }

  @Test(arguments: interpreters)
  func `dicts are structs on this side, for threads too`(_ python: String) async throws {
    let peer = try await Self.start(
      "server", .multiprocessing(receiving: Reply.self, sending: Request.self), interpreter: python)
    let now = Date(timeIntervalSince1970: 1_700_000_000)
    for id in 0..<50 {
      try await peer.channel.send(
        Request(id: id, text: "straße", tags: ["a", "b"], when: now, payload: Data([1, 2, 3])))
      #expect(
        try await peer.channel.receive()
          == Reply(
            id: id, text: "STRASSE", count: 2, when: now.addingTimeInterval(86_400),
            payload: Data([3, 2, 1]),
            ratio: 0.5, missing: nil))
    }
    peer.channel.finishSending()
    #expect(try await peer.exitStatus == .exited(0))
  }

  /// Whether that Python has numpy, of which nothing else here has need.
  static let hasNumPy: Bool = {
    guard let python = PythonPeer.interpreter else { return false }
    let process = Process()
    process.executableURL = URL(filePath: python)
    process.arguments = ["-c", "import numpy"]
    process.standardError = FileHandle.nullDevice
    limitLife(of: process)
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }()

  @Test(.enabled(if: hasNumPy, "that Python has no numpy: run scripts/setup-python"))
  func `arrays of NumPy's come and go`() async throws {
    let python = try #require(PythonPeer.interpreter)
    let peer = try await Self.start("arrays", .multiprocessing, interpreter: python)
    #expect(try await peer.channel.receive().text != nil)
    let count = try #require(try await peer.channel.receive().integer)
    var arrays: [NumPyArray] = []
    for _ in 0..<count {
      let value = try await peer.channel.receive()
      arrays.append(try #require(value.array))
      try await peer.channel.send(value)
    }
    #expect(arrays[0].shape == [2, 3] && arrays[0].order == .rowMajor)
    #expect(try arrays[0].elements(as: Double.self) == [0, 1, 2, 3, 4, 5])
    #expect(arrays[1].order == .columnMajor)
    #expect(try arrays[1].elements(as: Int32.self) == [0, 3, 1, 4, 2, 5])
    #expect(arrays[2].type.isBigEndian)
    #expect(try arrays[2].elements(as: UInt16.self) == [1, 2, 3])
    #expect(arrays[3].bytes == [1, 0] && arrays[4].type == NumPyType(.complex, byteCount: 16))
    #expect(try arrays[5].elements(as: Int.self) == [0, 2, 4, 6, 8])
    #expect(arrays[6].shape == [0, 3] && arrays[7].shape == [])
    #expect(try arrays[8].elements(as: Double.self).first == 1.5)
    let scalars = try await peer.channel.receive()
    #expect(scalars == [1.5, -7, true, PickleValue(PickleComplex(real: 1, imaginary: 2))])
    let large = try #require(try await peer.channel.receive().array)
    let total = try large.withElements(as: Double.self) { span in
      var total = 0.0
      for index in span.indices { total += span[index] }
      return total
    }
    try await peer.channel.send(PickleValue(total))
    let text = try #require(try await peer.channel.receive().array)
    #expect(text.shape == [1] && text.value(at: 0) == "text")
    #expect(try await peer.channel.receive() == "done")
    #expect(try await peer.exitStatus == .exited(0))
  }
}
