import CSysShim
import CSysTestSupport
import Glibc
import SWIO
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// The C shim's children, and the numbers of their descriptors.
@Suite(.lastResort, .leavesNothing) struct ShimSpawnTests {
  /// The end of a child.
  private struct Outcome: Sendable, Equatable {
    var error: Int32
    var step: UInt32?
    var index: Int32?
    var exitCode: Int32?

    static func exited(_ code: Int32) -> Outcome { Outcome(error: 0, exitCode: code) }
    static func failed(_ error: Int32, _ step: swsys_spawn_step, _ index: Int32 = 0) -> Outcome {
      Outcome(error: -error, step: step.rawValue, index: index)
    }
  }

  /// Runs a shell script with these descriptors, each a source and its number in the child, and waits for its end.
  private static func run(
    _ script: String, program: String = "/bin/sh", _ descriptors: [(source: Int32, target: Int32)] = [],
    _ look: (Int32) -> Void = { _ in }
  ) -> Outcome {
    let texts: [UnsafeMutablePointer<CChar>?] = unsafe [program, "-c", script].map { (text: String) in
      unsafe strdup(text)
    }
    defer { for index in unsafe texts.indices { unsafe free(texts[index]) } }
    var spawned = swsys_spawned()
    let (sources, targets) = (descriptors.map(\.source), descriptors.map(\.target))
    let candidates: [UnsafePointer<CChar>?] = unsafe [texts[0].map { unsafe UnsafePointer($0) }, nil]
    let result = unsafe candidates.withUnsafeBufferPointer { candidates in
      unsafe (texts + [nil]).withUnsafeBufferPointer { arguments in
        unsafe sources.withUnsafeBufferPointer { sources in
          unsafe targets.withUnsafeBufferPointer { targets in
            var request = unsafe swsys_spawn()
            unsafe request.candidates = candidates.baseAddress
            unsafe request.arguments = arguments.baseAddress
            unsafe request.environment = swsys_environment()
            unsafe request.group = Int32(SWSYS_GROUP_INHERITED)
            unsafe request.count = Int32(sources.count)
            unsafe request.sources = sources.baseAddress
            unsafe request.targets = targets.baseAddress
            return unsafe swsys_spawn(&request, &spawned)
          }
        }
      }
    }
    if result != 0 { return Outcome(error: result, step: UInt32(spawned.step), index: spawned.index) }
    look(spawned.pidfd)
    defer { close(spawned.pidfd) }
    _ = swsys_wait(spawned.pidfd, Int32(SWSYS_READABLE), -1, -1)
    var code: Int32 = -1
    #expect(unsafe swsys_pidfd_reap(spawned.pidfd, false, &code) == 1)
    return .exited(code)
  }

  /// The descriptors of a child must be these and no others. The shell lists its directory with one of its own.
  private static func script(expecting numbers: [Int32]) -> String {
    let tests = (0..<600 as Range<Int32>).filter { ![10, 11, 255].contains($0) }
      .map { "test \(numbers.contains($0) ? "" : "! ")-e /proc/$$/fd/\($0) || exit \(($0 % 200) + 1)" }
    return tests.joined(separator: "\n")
  }

  private static let standard: [(Int32, Int32)] = [
    (Int32(SWSYS_NULL), 0), (Int32(SWSYS_NULL), 1), (Int32(SWSYS_NULL), 2),
  ]

  @Test func `a child has the descriptors that it was given, and no others`() throws {
    let counter = swsys_eventfd()
    // Without close-on-exec, above and below the targets, and with a number among them.
    let leaked = [3, 300, 500].map { fcntl(counter, F_DUPFD, Int32($0)) }
    let given = swsys_duplicate(counter, 3)
    defer { for number in leaked + [given, counter] { close(number) } }
    #expect(Self.run(Self.script(expecting: [0, 1, 2]), Self.standard) == .exited(0))
    for target in [3, 4, 250] as [Int32] {
      let outcome = Self.run(Self.script(expecting: [0, 1, 2, target]), Self.standard + [(given, target)])
      #expect(outcome == .exited(0), "descriptor \(target)")
    }
    // It has its number already, and is closed here when a program is executed.
    #expect(swsys_get_close_on_exec(given) == 1)
    let same = Self.standard + [(given, given)]
    #expect(Self.run(Self.script(expecting: [0, 1, 2, given]), same) == .exited(0))
    // The lower numbers are free.
    let above = Self.standard + [(Int32(SWSYS_NULL), 7)]
    #expect(Self.run(Self.script(expecting: [0, 1, 2, 7]), above) == .exited(0))
    // Two sources for each other's numbers, and one source twice.
    let outcome = Self.run(
      Self.script(expecting: [0, 1, 2, leaked[0], given, 400]),
      Self.standard + [(given, leaked[0]), (leaked[0], given), (given, 400)])
    #expect(outcome == .exited(0))
  }

  @Test func `a source may have the number 0`() throws {
    // In the child the file that is standard input here has another number.
    var status = stat()
    #expect(unsafe fstat(0, &status) == 0)
    let outcome = Self.run(
      "test $(stat -L -c %i /proc/$$/fd/5) = \(status.st_ino)", Self.standard + [(0, 5)])
    #expect(outcome == .exited(0))
  }

  @Test func `an error names the descriptor that it is about, and the program that is missing`() {
    let given = swsys_eventfd()
    defer { close(given) }
    #expect(
      Self.run("exit 0", Self.standard + [(given, 3), (1_000_000, 4)])
        == .failed(EBADF, SWSYS_STEP_DESCRIPTOR, 4))
    #expect(
      Self.run("exit 0", Self.standard + [(1_000_000, 4), (given, 3)])
        == .failed(EBADF, SWSYS_STEP_DESCRIPTOR, 3))
    #expect(Self.run("exit 0", program: "/nowhere") == .failed(ENOENT, SWSYS_STEP_PROGRAM))
  }

  @Test func `a child takes 256 descriptors, and no more`() {
    let given = swsys_eventfd()
    defer { close(given) }
    let all = Self.standard + (3..<257 as Range<Int32>).map { (given, $0) }
    #expect(Self.run("exit 7", Array(all.prefix(256))) == .exited(7))
    #expect(Self.run("exit 7", all) == .failed(E2BIG, SWSYS_STEP_DESCRIPTOR))
  }

  @Test func `a child inherits a standard stream also where this process closes it on exec`() async throws {
    let outcome = try withOwnDescriptors { () -> Outcome in
      _ = swsys_set_close_on_exec(2, true)
      return Self.run("test -e /proc/$$/fd/2", [(Int32(SWSYS_NULL), 0), (Int32(SWSYS_INHERIT), 2)])
    }
    #expect(outcome == .exited(0))
  }

  @Test func `a file that is made for a child is nobody's to execute`() async {
    await #expect(processExitsWith: .success) {
      let directory = try TestDirectory()
      defer { directory.remove() }
      umask(0)
      let number = unsafe swsys_open_for_child(directory("made").string, O_WRONLY | O_CREAT)
      var status = stat()
      #expect(unsafe fstat(number, &status) == 0)
      #expect(status.st_mode & 0o777 == 0o666)
      close(number)
    }
  }

  @Test(arguments: [0, 1, 2] as [Int32])
  func `a file for a child has a number above the standard streams`(_ missing: Int32) throws {
    let number = try withOwnDescriptors { () -> Int32 in
      for number in missing...2 { close(number) }
      return unsafe swsys_open_for_child("/dev/null", O_RDONLY)
    }
    #expect(number > 2)
  }

  @Test func `a source with the number 0 waits for its number like any other`() throws {
    let outcome = try withOwnDescriptors { () -> Outcome in
      for number in 3..<1024 as Range<Int32> { close(number) }
      let null = unsafe swsys_open_for_child("/dev/null", O_RDWR)
      let counter = swsys_eventfd()
      #expect(dup2(null, 5) == 5 && dup2(counter, 0) == 0)
      return Self.run(
        "cd /proc/$$/fd && readlink 5 | grep -q eventfd && test 7 -ef /dev/null", [(0, 5), (5, 7)])
    }
    #expect(outcome == .exited(0))
  }

  /// Beside what it was given, below and above, and where it was given a copy of it.
  @Test(
    arguments: [
      [3: 5], [4: 5], [6: 5],  // source: target
      [3: 3, 5: 5],
    ] as [[Int32: Int32]])
  func `a child keeps no neighbour of what it was given`(_ given: [Int32: Int32]) throws {
    let outcome = try withOwnDescriptors { () -> Outcome in
      for number in 3..<1024 as Range<Int32> { close(number) }
      // Without close-on-exec.
      for number in 3...7 as ClosedRange<Int32> { #expect(dup2(0, number) == number) }
      let entries = Self.standard + given.map { ($0.key, $0.value) }
      return Self.run(Self.script(expecting: [0, 1, 2] + given.values), entries)
    }
    #expect(outcome == .exited(0))
  }

  @Test(arguments: [0, 1, 2] as [Int32])
  func `the pidfd of a child has a number above the standard streams`(_ missing: Int32) throws {
    let (outcome, number) = try withOwnDescriptors { () -> (Outcome, Int32) in
      close(missing)
      var number: Int32 = -1
      let outcome = Self.run("exit 7", Self.standard) { number = $0 }
      return (outcome, number)
    }
    #expect(outcome == .exited(7) && number > 2)
  }

  @Test func `a signal is for the whole process of a pidfd, and the kernel has what children need`()
    async throws
  {
    #expect(swsys_pidfd_missing() == 0)
    let result = try await TestThread { () -> Int32 in
      let own = swsys_pidfd_open(getpid())
      defer { close(own) }
      // A signal for one thread only has a flag in the fourth argument, whose value is 1 (PIDFD_SIGNAL_THREAD).
      #expect(swsys_forbid_argument_here(Int32(SWSYS_CALL_PIDFD_SEND_SIGNAL), 3, 1) == 0)
      return swsys_pidfd_signal(own, 0, false)
    }.value
    #expect(result == 0)
  }

  // MARK: Shortages

  @Test func `a child has room for its descriptors where this process has none left`() async {
    await #expect(processExitsWith: .success) {
      limitDescriptors(64)
      let outcome = try withOwnDescriptors { () -> Outcome in
        // A child takes one here, for its pidfd.
        var filled: [Int32] = []
        while case let number = dup(0), number >= 0 { filled.append(number) }
        if let last = filled.popLast() { close(last) }
        return Self.run("exit 7", [(filled[0], 0), (filled[1], 1), (filled[2], 5)])
      }
      #expect(outcome == .exited(7))
    }
  }

  /// Opens every number from 3 up to the limit but these, and returns for each of them an entry that leaves it as it is.
  private static func fillNumbers(
    below limit: Int32, butNot free: Set<Int32>
  ) -> [Int32: (source: Int32, target: Int32)] {
    var kept: [Int32: (source: Int32, target: Int32)] = [:]
    for number in 3..<limit {
      close(number)
      guard !free.contains(number) else { continue }
      #expect(dup2(0, number) == number)
      kept[number] = (number, number)
    }
    return kept
  }

  @Test func `room for one copy serves all descriptors that change places`() async {
    await #expect(processExitsWith: .success) {
      limitDescriptors(64)
      let outcome = try withOwnDescriptors { () -> Outcome in
        // The child's pidfd takes the last number here, which is free in the child.
        var entries = Self.fillNumbers(below: 64, butNot: [63])
        for (one, other) in [(3, 4), (5, 6), (7, 8)] as [(Int32, Int32)] {
          entries[one] = (one, other)
          entries[other] = (other, one)
        }
        return Self.run("exit 7", Array(entries.values))
      }
      #expect(outcome == .exited(7))
    }
  }

  @Test func `a copy is made at the number of a stream that is opened afterwards`() async {
    await #expect(processExitsWith: .success) {
      limitDescriptors(64)
      let outcome = try withOwnDescriptors { () -> Outcome in
        // A program needs a free number to be loaded.
        var entries = Self.fillNumbers(below: 64, butNot: [10, 63])
        close(3)
        #expect(swsys_eventfd() == 3)
        entries[3] = (3, 4)
        entries[4] = (4, 3)
        entries[10] = (Int32(SWSYS_NULL), 10)
        return Self.run(
          "cd /proc/$$/fd && test 10 -ef /dev/null && test 3 -ef 5 && ! test 4 -ef 5",
          entries.sorted { ($0.key == 10 ? 0 : $0.key) < ($1.key == 10 ? 0 : $1.key) }.map(\.value))
      }
      #expect(outcome == .exited(0))
    }
  }

  @Test(arguments: [true, false]) func `descriptors change places, in either order`(_ isTurned: Bool) throws {
    let outcome = try withOwnDescriptors { () -> Outcome in
      for number in 3..<1024 as Range<Int32> { close(number) }
      #expect(swsys_eventfd() == 3 && dup(0) == 4)
      let entries = [(3, 4), (4, 3)] as [(Int32, Int32)]
      return Self.run(
        "test $(readlink /proc/$$/fd/5) = /dev/null && readlink /proc/$$/fd/4 | grep -q eventfd",
        (isTurned ? entries.reversed() : entries) + [(Int32(SWSYS_NULL), 5)])
    }
    #expect(outcome == .exited(0))
  }

  @Test func `a child that cannot be started leaves nothing, also where its pidfd has the number 0`()
    async throws
  {
    let (outcome, isFree) = try withOwnDescriptors { () -> (Outcome, Bool) in
      close(0)
      let outcome = Self.run("exit 0", program: "/nowhere", [(Int32(SWSYS_NULL), 0)])
      return (outcome, fcntl(0, F_GETFD) < 0)
    }
    #expect(outcome == .failed(ENOENT, SWSYS_STEP_PROGRAM) && isFree)
  }

  // A sanitizer cannot live without mmap.
  @Test(.enabled(if: !isSanitized)) func `without memory for a stack no child is made`() async throws {
    let outcome = try await TestThread { () -> Outcome in
      #expect(swsys_forbid_here(Int32(SWSYS_CALL_MMAP)) == 0)
      return Self.run("exit 0")
    }.value
    #expect(outcome == .failed(EPERM, SWSYS_STEP_CLONE))
  }

  /// The child's pidfd has the number 0 here. So no number above the standard streams is free in the child before it closes what
  /// it was not given, and a copy needs one.
  @Test(arguments: [3, 4, 5, 63] as [Int32])
  func `a child closes what it was not given before it needs a number`(_ other: Int32) async {
    await #expect(processExitsWith: .success) { [other] in
      limitDescriptors(64)
      let outcome = try withOwnDescriptors { () -> Outcome in
        var entries = Self.fillNumbers(below: 64, butNot: [])
        entries[other] = nil
        entries[7] = (7, 8)
        entries[8] = (8, 7)
        close(0)
        return Self.run("exit 7", Array(entries.values))
      }
      #expect(outcome == .exited(7))
    }
  }

  @Test func `a child that has ended leaves no stack`() async {
    await #expect(processExitsWith: .success) {
      let missing = Outcome.failed(ENOENT, SWSYS_STEP_PROGRAM)
      #expect(Self.run("exit 0", program: "/nowhere") == missing)
      let before = try ShimThreadTests.mappingCount()
      for _ in 0..<100 { #expect(Self.run("exit 0", program: "/nowhere") == missing) }
      #expect(try ShimThreadTests.mappingCount() < before + 60)
    }
  }
}
