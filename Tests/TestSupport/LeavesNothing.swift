import Foundation
import SWMessaging
import SWTesting
import Synchronization
public import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// Holds a suite to what it began with: open descriptors, registrations of the reactor, and timers.
///
/// The trait waits until the counts are where they were: what a test has let go of may still be on its way out.
/// Suites that run at once share one account, which is opened by the first of them and settled by the last; so the check
/// says the same whether suites run one after the other or together.
public struct LeavesNothing: SuiteTrait, TestScoping {
  public func provideScope(
    for test: Test, testCase: Test.Case?,
    performing function: @Sendable @concurrent () async throws -> Void
  ) async throws {
    Account.shared.open()
    do {
      // The same tests on another executor: a test is isolated to no actor, so it prefers what its task does.
      try await withTaskExecutorPreference(Self.executor) { try await function() }
    } catch {
      await Account.shared.settle(after: test)
      throw error
    }
    await Account.shared.settle(after: test)
  }
}

extension LeavesNothing {
  /// Where tests run: `SWTEST_EXECUTOR=messaging` or `reactor`; else on the default executor.
  private static let executor: (any TaskExecutor)? =
    switch ProcessInfo.processInfo.environment["SWTEST_EXECUTOR"] {
    case "messaging": MessagingExecutor.shared
    case "reactor": ReactorExecutor.shared
    case nil: nil
    case let name?: preconditionFailure("SWTEST_EXECUTOR=\(name): there is no such executor")
    }
}

extension LeavesNothing {
  /// Whether tests run on an executor of the library.
  static var runsOnOurs: Bool { executor != nil }
  static var runsOnReactor: Bool { executor is ReactorExecutor }
}

extension Trait where Self == ConditionTrait {
  /// The test blocks the thread that it runs on until the reactor has done something.
  public static var blocksItsThread: Self {
    .disabled(if: LeavesNothing.runsOnReactor, "it would wait for the reactor on the reactor's only thread")
  }
  /// The test means something else on an executor of the library, for this reason.
  public static func defaultExecutor(_ reason: Comment) -> Self {
    .disabled(if: LeavesNothing.runsOnOurs, reason)
  }
}

extension Trait where Self == LeavesNothing {
  /// The suite ends with as many descriptors, registrations and timers as it began with.
  public static var leavesNothing: Self { Self() }
}

extension Trait where Self == TimeLimitTrait {
  /// Longer than every patience inside a test, so that the patience comes first and says what it waited for.
  public static var lastResort: Self { .timeLimit(.minutes(30)) }
}

/// The resources of a process.
struct Holdings: Equatable, Sendable {
  /// How many descriptors there are of each kind, such as `socket` or `pipe`.
  var descriptors: [String: Int] = [:]
  var registrations: Int
  var timers: Int

  static func now() -> Holdings {
    let load = Reactor.shared.load
    var holdings = Holdings(registrations: load.registrations, timers: load.timers)
    for number in Int32(0)..<4096 {
      guard let kind = kind(of: number) else { continue }
      holdings.descriptors[kind, default: 0] += 1
    }
    return holdings
  }

  /// Wake-ups are pooled, and Dispatch and the reactor make their own when they are first needed: those have a limit
  /// and no fixed number.
  private static let pooled = ["anon_inode:[eventfd]", "anon_inode:[eventpoll]", "anon_inode:[timerfd]"]
  /// The reactor keeps 64 wake-ups at most; the rest is room for the runtime's own.
  private static var mostPooled: Int { 64 + 16 }

  private static func kind(of number: Int32) -> String? {
    var name = [CChar](repeating: 0, count: 256)
    let count = unsafe readlink("/proc/self/fd/\(number)", &name, name.count)
    guard count > 0 else { return nil }
    let text = String(decoding: name.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // Without the inode: one may be closed and another be opened.
    return text.hasPrefix("/") ? text : String(text.prefix { $0 != ":" || text.hasPrefix("anon_inode") })
  }

  /// The resources that were not in `before`; empty if nothing is left.
  func surplus(over before: Holdings) -> [String] {
    var surplus: [String] = []
    for (kind, count) in descriptors.sorted(by: { $0.key < $1.key }) {
      let expected =
        Self.pooled.contains(kind) ? Self.mostPooled : before.descriptors[kind, default: 0]
      if count > expected { surplus.append("\(count - expected) descriptors more: \(kind)") }
    }
    if registrations > before.registrations {
      surplus.append("\(registrations - before.registrations) registrations more")
    }
    if timers > before.timers { surplus.append("\(timers - before.timers) timers more") }
    return surplus
  }
}

private final class Account: Sendable {
  static let shared = Account()

  private struct State: Sendable {
    var suites = 0
    var before: Holdings?
  }

  private let state = Guarded(State())

  /// Foundation opens files of its own with the first process, and keeps them.
  private static let isWarm: Bool = {
    let process = Process()
    process.executableURL = URL(filePath: "/bin/true")
    process.standardInput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return true
  }()

  func open() {
    _ = Self.isWarm
    state.withLock { state in
      state.suites += 1
      if state.before == nil { state.before = .now() }
    }
  }

  private enum Verdict: Sendable {
    case settled
    case open([String])
  }

  /// A suite that begins while this waits takes the account over, and settles it at its own end.
  private func look() -> Verdict {
    state.withLock { state in
      guard state.suites == 0, let before = state.before else { return .settled }
      let surplus = Holdings.now().surplus(over: before)
      guard surplus.isEmpty else { return .open(surplus) }
      state.before = nil
      return .settled
    }
  }

  func settle(after test: Test) async {
    state.withLock { $0.suites -= 1 }
    let limit = Deadline.after(.patience)
    while case .open(let surplus) = look() {
      guard limit.hasPassed else {
        await Task.yield()
        continue
      }
      state.withLock { $0.before = nil }
      Issue.record("\(test.name) leaves behind: \(surplus.joined(separator: ", "))")
      return
    }
  }
}
