import CSysShim
import CSysTestSupport
import Foundation
import Glibc
import SWFraming
import SWIO
import SWTesting
import SystemPackage
import Testing

@testable import SWMessaging

/// Children, in situations in which a careless implementation breaks its promises.
@Suite(.timeLimit(.minutes(2))) struct ChildProcessReviewTests {
  /// `abandon` may close the pidfd. A signal that comes later must not go to the descriptor that has got the number.
  @Test func `b: a signal after the pidfd was given up hits nobody else`() async {
    await #expect(processExitsWith: .success) {
      func spawn(_ script: String) async throws -> (ExitWatch, Int32) {
        let request = try SpawnRequest(
          Command("bash", arguments: ["-c", script]), channel: .descriptor(3))
        let child = try request.run()
        return (ExitWatch(child.child), child.processID)
      }
      let (watch, _) = try await spawn("exit 0")
      _ = try await watch.wait(CallLimit(.patience, .never))
      let before = libraryDescriptors()
      watch.abandon()
      let freed = before.subtracting(libraryDescriptors())
      let number = try #require(freed.count == 1 ? freed.first : nil)
      // A stranger, whose pidfd gets the number.
      let (stranger, pid) = try await spawn("exec sleep 30")
      let other = swsys_pidfd_open(pid)
      if other != number {
        #expect(dup2(other, number) == number)
        close(other)
      }
      try? watch.signal(.kill)
      let error = await endpointError { try await stranger.wait(CallLimit(.milliseconds(500), .never)) }
      #expect(error?.reason == .timedOut, "the stranger lives")
      kill(pid, SIGKILL)
    }
  }

  @Test func `d: the channel ends when the child dies, though a child of its own lives on`() async throws {
    let child = try await ChildProcess.spawn(
      "bash", arguments: ["-c", "sleep 5 & exit 0"], framing: .varInt)
    #expect(try await child.exitStatus == .exited(0))
    #expect(try await child.channel.next(timeout: .seconds(2)) == nil, "the child is dead")
  }

  /// A worker with a channel of its own must not take bytes from this process's standard input that were meant for
  /// this process.
  @Test func `e: a child with a channel does not read its parent's input`() async {
    await #expect(processExitsWith: .success) {
      let (reading, writing) = try FileDescriptor.pipe()
      _ = try writing.writeAll("for the parent\n".utf8)
      try writing.close()
      #expect(dup2(reading.rawValue, 0) == 0)
      let child = try await ChildProcess.spawn("bash", arguments: ["-c", "cat >&3"], framing: .lines)
      let stolen = try await child.channel.next(timeout: .seconds(20))
      #expect(stolen == nil, "\(String(decoding: stolen ?? [], as: UTF8.self))")
      var bytes = [UInt8](repeating: 0, count: 100)
      let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(0, $0.baseAddress, $0.count) }
      #expect(count == 15, "it is still there")
    }
  }

  @Test func `f: a name is looked up in the PATH that the child is given`() async throws {
    let directory = FileManager.default.temporaryDirectory.appending(
      path: "sw-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let tool = directory.appending(path: "sw-review-tool")
    try "#!/bin/sh\nexit 7\n".write(to: tool, atomically: false, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: tool.path)
    let path = "\(directory.path):/usr/bin:/bin"
    for environment in [ChildEnvironment.only(["PATH": path]), .inheriting(adding: ["PATH": path])] {
      let child = try await ChildProcess.spawn("sw-review-tool", environment: environment, framing: .varInt)
      #expect(try await child.exitStatus == .exited(7))
    }
  }

  /// Epoll may refuse to watch (ENOSPC at `max_user_watches`, ENOMEM). Here the reactor's epoll is replaced by a
  /// descriptor that is none.
  @Test func `h: a dropped child leaves no zombie, though epoll will not watch it`() async {
    await #expect(processExitsWith: .success) {
      // Starts the reactor.
      let (left, right) = try makeSocketPair(framing: .varInt)
      _ = try? await left.receive(timeout: .milliseconds(1))
      let epoll = try #require(reactorsEpoll())
      var child: ChildProcess<VarIntFraming>? = try await ChildProcess.spawn(
        "sleep", arguments: ["60"], framing: .varInt)
      let pid = try #require(child?.processID)
      let kept = dup(epoll)
      #expect(swsys_replace_with_null(epoll) == 0)
      child = nil
      #expect(dup2(kept, epoll) == epoll)
      kill(pid, SIGKILL)
      // Reaped, its number is free.
      let isGone = await comesTrue(within: .seconds(60)) { kill(pid, 0) != 0 }
      #expect(isGone, "it is a zombie")
      withExtendedLifetime((left, right)) {}
    }
  }

  @Test func `a child that hears no SIGTERM is killed, though epoll will not watch it`() async {
    await #expect(processExitsWith: .success) {
      // Starts the reactor.
      let (left, right) = try makeSocketPair(framing: .varInt)
      _ = try? await left.receive(timeout: .milliseconds(1))
      let epoll = try #require(reactorsEpoll())
      let kept = dup(epoll)
      #expect(swsys_replace_with_null(epoll) == 0)
      let child = try await Command("sh", arguments: ["-c", "trap '' TERM; exec sleep 60"]).spawn()
      let isDeaf = await comesTrue(within: .seconds(60)) {
        let line = try? String(contentsOfFile: "/proc/\(child.processID)/cmdline", encoding: .utf8)
        return line?.hasPrefix("sleep") ?? false
      }
      #expect(isDeaf)
      let status = try await child.end(in: [.signal(.terminate, within: .milliseconds(10))])
      #expect(status == .signalled(.kill))
      #expect(dup2(kept, epoll) == epoll)
      withExtendedLifetime((left, right)) {}
    }
  }
}

/// The epoll that watches the reactor's own wake-up; Dispatch has another.
private func reactorsEpoll() -> Int32? {
  (3..<64 as Range<Int32>).first { number in
    (try? String(contentsOfFile: "/proc/self/fdinfo/\(number)", encoding: .utf8))?
      .contains("data: ffffffffffffffff") ?? false
  }
}

/// Whether a condition comes to hold. Unlike `eventually` it gives up, so that the test of a fault fails instead of
/// hanging.
func comesTrue(within limit: Duration = .patience, _ condition: () -> Bool) async -> Bool {
  let end = ContinuousClock.now + limit
  while !condition() {
    if ContinuousClock.now > end { return false }
    await Task.yield()
  }
  return true
}
