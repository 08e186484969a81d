import CSysShim
import Foundation
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// The names of Unix sockets.
@Suite(.lastResort, .leavesNothing)
struct PublishingTests {
  typealias Raw = Listener<SocketDuplex>

  /// A socket that is bound, and that listens if it is told to.
  private func bind(_ path: FilePath, listening: Bool) throws -> FreshSocket {
    let socket = try OwnedDescriptor.socket(for: .unnamedUnix, .stream, .bind)
    let result = socket.bind(to: try #require(SocketAddress(unixPath: path.string)))
    try #require(result == 0)
    let held = FreshSocket(socket.release())
    if listening { held.listen() }
    return held
  }

  final class FreshSocket: Sendable {
    let descriptor: FileDescriptor
    init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }
    deinit { _ = swsys_close(descriptor.rawValue) }
    func listen() { #expect(swsys_listen(descriptor.rawValue, 8) == 0) }
    /// Whether a connection was there.
    func accepts() -> Bool {
      let number = descriptor.accept()
      if number >= 0 { _ = swsys_close(number) }
      return number >= 0
    }
  }

  /// Leaves a socket file that no process has.
  private func leaveStale(_ path: FilePath) throws { _ = try bind(path, listening: true) }

  private func connects(_ path: FilePath) async -> Bool {
    guard let peer = try? await connect(to: .unix(path)) else { return false }
    peer.close()
    return true
  }

  private func failure(_ error: EndpointError?) -> TransportError? {
    guard case .transport(let failure) = error?.reason else { return nil }
    return failure
  }

  // MARK: What is there already

  @Test(arguments: [PublishedName.Refusals(), .lock, .link, [.link, .rename], .rename, .proc])
  func `a stale file is replaced, and removed at the end`(refusals: PublishedName.Refusals) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("s")
    try leaveStale(path)
    let listener = try PublishedName.$refusals.withValue(refusals) { try Raw(.unix(path)) }
    #expect(await connects(path))
    #expect(directory.names == ["s"], "no other name is left")
    listener.close()
    #expect(directory.names == [])
  }

  @Test(arguments: [PublishedName.Refusals(), .lock, .link, [.link, .rename], .rename, .proc])
  func `a live server is not replaced, and a starting one neither`(
    refusals: PublishedName.Refusals
  ) async throws {
    for isListening in [true, false] {
      let directory = try TestDirectory()
      defer { directory.remove() }
      let path = directory("s")
      let other = try bind(path, listening: isListening)
      let error = PublishedName.$refusals.withValue(refusals) { blockingError { try Raw(.unix(path)) } }
      #expect(failure(error) == TransportError(.publish, .addressInUse))
      #expect(error?.subject == .service(.unix(path)))
      #expect(error?.explanation == "another process has that socket")
      #expect(directory.names == ["s"])
      #expect(!other.accepts(), "the server has not noticed")
      if !isListening { other.listen() }
      #expect(await connects(path))
      #expect(other.accepts())
    }
  }

  @Test func `a second start fails, and the first one goes on`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let first = try Raw(.unix(directory("s")))
    for _ in 0..<50 {
      #expect(failure(blockingError { try Raw(.unix(directory("s"))) })?.errno == .addressInUse)
    }
    let served = Guarded(0)
    let serving = Task {
      for try await peer in first.connections {
        peer.close()
        served.withLock { $0 += 1 }
      }
    }
    for _ in 0..<stressed(1_000) { #expect(await connects(directory("s"))) }
    await eventually { served.withLock { $0 } == stressed(1_000) }
    first.close()
    try await serving.value
  }

  @Test(arguments: [SocketFile.Presence.refuse, .replaceStale, .takeOver])
  func `what is no socket is left alone`(presence: SocketFile.Presence) throws {
    for refusals in [PublishedName.Refusals(), .link, [.link, .rename]] {
      let directory = try TestDirectory()
      defer { directory.remove() }
      let path = directory("s")
      let elsewhere = directory("elsewhere")
      let kinds: [() throws -> Void] = [
        { try Data("keep me".utf8).write(to: URL(filePath: path.string)) },
        { try FileManager.default.createDirectory(atPath: path.string, withIntermediateDirectories: false) },
        { try FileManager.default.createSymbolicLink(atPath: path.string, withDestinationPath: "nowhere") },
        {
          _ = try self.bind(elsewhere, listening: true)
          try FileManager.default.createSymbolicLink(
            atPath: path.string, withDestinationPath: elsewhere.string)
        },
        { #expect(makeFIFO(path)) },
      ]
      for make in kinds {
        try make()
        var before = stat()
        _ = unsafe lstat(path.string, &before)
        let error = PublishedName.$refusals.withValue(refusals) {
          blockingError { try Raw(.unix(path), file: .mode(0o600, ifPresent: presence)) }
        }
        // With `.refuse` it need not be known what is there.
        #expect(failure(error)?.errno == .notSocket, "\(String(describing: error))")
        var after = stat()
        _ = unsafe lstat(path.string, &after)
        #expect(before.st_ino == after.st_ino && before.st_mode == after.st_mode)
        #expect(directory.names.filter { $0.hasPrefix(".") } == [])
        try FileManager.default.removeItem(atPath: path.string)
        try? FileManager.default.removeItem(atPath: elsewhere.string)
      }
    }
  }

  @Test(arguments: [PublishedName.Refusals(), .lock, .link, .rename])
  func `a take-over leaves no moment without a server, and the old one's close leaves the new one's file`(
    refusals: PublishedName.Refusals
  ) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("s")
    let first = try Raw(.unix(path))
    let isOver = Guarded(false)
    let connecting = Task {
      var count = 0
      while !isOver.withLock({ $0 }) {
        let peer = try await connect(to: .unix(path))
        peer.close()
        count += 1
        await Task.yield()
      }
      return count
    }
    var listeners = [first]
    for _ in 0..<50 {
      let next = try PublishedName.$refusals.withValue(refusals) {
        try Raw(.unix(path), file: .mode(0o600, ifPresent: .takeOver))
      }
      listeners[listeners.count - 1].close()
      #expect(directory.names == ["s"])
      listeners.append(next)
      await Task.yield()
    }
    isOver.withLock { $0 = true }
    #expect(try await connecting.value > 0)
    #expect(await connects(path))
    listeners[50].close()
    #expect(directory.names == [])
  }

  /// A name that leads to a socket which is bound, and does not listen yet, refuses connections.
  @Test func `a name is there only when somebody listens`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    for round in 0..<stressed(300) {
      let path = directory("s\(round)")
      let address = try #require(SocketAddress(unixPath: path.string))
      let isLooking = Gate()
      let looking = TestThread { () throws -> Int32 in
        isLooking.open()
        while true {
          let client = try HandClient(address)
          if client.result != -Errno.noSuchFileOrDirectory.rawValue { return client.result }
        }
      }
      await isLooking.wait()
      let listener = try Raw(.unix(path))
      #expect(try await looking.value == 0)
      listener.close()
    }
  }

  /// A file system may have no exchange of names. Replacing a name is atomic everywhere.
  @Test func `a take-over never leaves the name missing, also without an exchange of names`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("s")
    var listener = try Raw(.unix(path))
    let isLooking = Gate()
    let isOver = Atomic(false)
    let looking = TestThread {
      var missing = 0
      isLooking.open()
      while !isOver.load(ordering: .relaxed) {
        var found = stat()
        if unsafe lstat(path.string, &found) != 0 { missing += 1 }
      }
      return missing
    }
    await isLooking.wait()
    try PublishedName.$refusals.withValue(.rename) {
      for _ in 0..<stressed(300) {
        let next = try Raw(.unix(path), file: .mode(0o600, ifPresent: .takeOver))
        listener.close()
        listener = next
      }
    }
    isOver.store(true, ordering: .relaxed)
    #expect(try await looking.value == 0)
    #expect(directory.names == ["s"])
    listener.close()
  }

  private static var canBeAnother: Bool {
    getuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/bin/setpriv")
  }

  /// In a directory with the sticky bit, such as /tmp, only the owner of a file may remove or replace it.
  @Test(
    .enabled(if: canBeAnother, "only root can be another user"),
    arguments: [PublishedName.Refusals(), .rename])
  func `a file of another user's in a sticky directory is no permission, and not a crowd`(
    refusals: PublishedName.Refusals
  ) throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    #expect(setMode(directory.path, 0o1777))
    let path = directory("s")
    try leaveStale(path)
    #expect(setMode(path, 0o666))
    let answer = try run(
      "/usr/bin/setpriv",
      [
        "--reuid=65534", "--regid=65534", "--clear-groups", try probePath(), "replace", path.string,
        "\(refusals.rawValue)",
      ])
    let names = ["stale", "stale datagrams", "taken over", "taken over datagrams"]
    #expect(answer.lines == names.map { "\($0)=publish \(Errno.notPermitted.rawValue)" }, "\(answer)")
    #expect(directory.names == ["s"])
  }

  @Test func `with refuse a socket that is there is in use, stale or not`() throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    try leaveStale(directory("s"))
    let error = blockingError { try Raw(.unix(directory("s")), file: .mode(0o600, ifPresent: .refuse)) }
    #expect(failure(error)?.errno == .addressInUse)
    #expect(directory.names == ["s"])
  }

  @Test func `of many starters over one stale file exactly one serves`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    for round in 0..<stressed(200) {
      let path = directory("s\(round)")
      try leaveStale(path)
      let count = 2 + round % 15
      let go = Gate()
      let threads = (0..<count).map { _ in
        TestThread { () throws -> Raw? in
          go.waitBlocking()
          return try? Raw(.unix(path))
        }
      }
      go.open()
      var winners: [Raw] = []
      for thread in threads { if let winner = try await thread.value { winners.append(winner) } }
      #expect(winners.count == 1)
      #expect(await connects(path))
      let peer = try await winners.first?.accept(timeout: .zero)
      peer?.close()
      for winner in winners { winner.close() }
      #expect(directory.names == [])
    }
  }

  @Test func `of many processes over one stale file exactly one serves, also after a kill`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    var starters: [ChildProcess<LineFraming>] = []
    for _ in 0..<6 {
      starters.append(
        limitLife(
          of: try await ChildProcess.spawn(
            try probePath(), arguments: ["publish"], channel: .standardStreams, framing: .lines),
          named: "probe publish"))
    }
    let path = directory("s")
    try leaveStale(path)
    for _ in 0..<stressed(100) {
      for starter in starters { try await starter.channel.send(path.string) }
      var answers: [String] = []
      for starter in starters {
        answers.append(String(decoding: try await starter.channel.receive(), as: UTF8.self))
      }
      #expect(answers.filter { $0 == "won" }.count == 1, "\(answers)")
      #expect(await connects(path))
      // The winner gives the name up; the next round finds what somebody has left by mistake.
      for starter in starters { try await starter.channel.send(directory("other").string) }
      for starter in starters { _ = try await starter.channel.receive() }
      #expect(!directory.names.contains("s"))
      try leaveStale(path)
    }
    try await starters[0].channel.send(path.string)
    #expect(try await starters[0].channel.receive() == Array("won".utf8))
    try starters[0].kill()
    _ = try await starters[0].exitStatus
    #expect(directory.names.contains("s"))
    try await starters[1].channel.send(path.string)
    #expect(try await starters[1].channel.receive() == Array("won".utf8))
    for starter in starters.dropFirst() {
      starter.channel.finishSending()
      _ = try await starter.exitStatus
    }
    #expect(!directory.names.contains("s"))
  }

  // MARK: The end

  @Test func `a second close removes nothing, and a file of somebody else's stays`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("s")
    let first = try Raw(.unix(path))
    first.close()
    let second = try Raw(.unix(path))
    first.close()
    #expect(await connects(path))
    try FileManager.default.removeItem(atPath: path.string)
    let foreign = try bind(path, listening: true)
    second.close()
    #expect(await connects(path))
    #expect(foreign.accepts())
  }

  @Test func `a listener that is dropped removes its file`() throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    _ = try Raw(.unix(directory("s")))
    #expect(directory.names == [])
  }

  @Test func `a file that cannot be removed does not hold up the close`() throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try Raw(.unix(directory("s")))
    try FileManager.default.removeItem(atPath: directory.path.string)
    listener.close()
    #expect(listener.isClosed)
  }

  @Test func `a directory without permission to write does not hold up the close`() throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    #expect(setMode(directory.path, 0o777))
    let inner = directory("inner")
    let answer: Answer
    if getuid() == 0 {
      // Root may do everything.
      #expect(makeDirectory(inner) && giveAway(inner, to: 65534))
      answer = try run(
        "/usr/bin/setpriv",
        ["--reuid=65534", "--regid=65534", "--clear-groups", try probePath(), "unremovable", inner.string])
    } else {
      #expect(makeDirectory(inner))
      answer = try run(try probePath(), ["unremovable", inner.string])
    }
    #expect(answer.lines == ["closed=true open=false", "present=true"], "\(answer)")
  }

  // MARK: Modes and lengths

  @Test func `a file has its mode from the first moment, whatever the umask is, which never changes`() throws
  {
    let answer = try run(try probePath(), ["modes"])
    #expect(answer.status == 0)
    #expect(
      answer.lines.count == 4 && answer.lines.allSatisfy { $0.hasPrefix("right=true") }, "\(answer.output)")
  }

  @Test(arguments: [90, 100, 104, 107, 108, 109, 138, 200, 255])
  func `a path of any length names exactly that file`(length: Int) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    // The name itself, and the directory.
    let name = String(repeating: "n", count: max(1, min(255, length - directory.path.string.utf8.count - 1)))
    let path = directory(name)
    for refusals in [PublishedName.Refusals(), [.link, .rename]] {
      if !refusals.isEmpty, length > 109 {
        // Without a link the name has to fit behind `/proc/self/fd/N/`.
        let error = PublishedName.$refusals.withValue(refusals) { blockingError { try Raw(.unix(path)) } }
        #expect(error?.failure == TransportError(.bind, .fileNameTooLong))
        #expect(directory.names == [])
        continue
      }
      let listener = try PublishedName.$refusals.withValue(refusals) { try Raw(.unix(path)) }
      #expect(directory.names == [name])
      #expect(listener.address == .unix(path))
      #expect(await connects(path))
      let peer = try await listener.accept(timeout: .zero)
      peer.close()
      listener.close()
      #expect(directory.names == [])
    }
    var deep = directory.path
    while deep.string.utf8.count < 1_000 { deep.append(String(repeating: "d", count: 200)) }
    try FileManager.default.createDirectory(atPath: deep.string, withIntermediateDirectories: true)
    let listener = try Raw(.unix(deep.appending(name)))
    #expect(await connects(deep.appending(name)))
    listener.close()
  }

  @Test func `a path that cannot be says so`() {
    for path in ["/nowhere/at/all/s", "/dev/null/s", String(repeating: "n", count: 300)] {
      let error = blockingError { try Raw(.unix(FilePath(path))) }
      #expect(failure(error) != nil && error?.subject == .service(.unix(FilePath(path))))
    }
    for path in ["", "/"] as [FilePath] {
      for error in [
        blockingError { _ = try Raw(.unix(path)) },
        blockingError { _ = try bindDatagrams(at: .unix(path)) },
      ] {
        guard case .address(let reason) = error?.reason else {
          Issue.record("\(String(describing: error))")
          return
        }
        #expect(reason.reason == .emptyPath)
      }
    }
  }
}
