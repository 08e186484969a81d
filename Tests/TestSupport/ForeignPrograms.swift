public import Foundation
public import SWMessaging
import SWTesting
public import Testing

#if canImport(Glibc)
  import Glibc
#endif

// A foreign program gets a deadline far beyond what it needs. When the deadline passes, an issue names the program, and
// the program is killed: the test that waits for it then sees an end, and fails instead of hanging.

/// Gives a program that Foundation is about to run its deadline, counted from now.
///
/// Foundation makes each child the leader of a process group: its own children end with it.
public func limitLife(of process: Process, sourceLocation: SourceLocation = #_sourceLocation) {
  let name = ([process.executableURL?.lastPathComponent ?? "a program"] + (process.arguments ?? []))
    .joined(separator: " ")
  afterPatience { [weak process] in
    guard let process, process.isRunning else { return }
    recordExpiry(of: name, sourceLocation)
    kill(-process.processIdentifier, SIGKILL)
    kill(process.processIdentifier, SIGKILL)
  }
}

/// Gives a child process its deadline, counted from now.
///
/// - Parameter name: the program and its arguments.
/// - Returns: the child.
public func limitLife<F: Framing>(
  of child: ChildProcess<F>, named name: String, sourceLocation: SourceLocation = #_sourceLocation
) -> ChildProcess<F> {
  afterPatience { [weak child] in
    Task {
      guard let child, (try? await child.waitForExit(timeout: .zero)) == nil else { return }
      recordExpiry(of: name, sourceLocation)
      try? child.kill()
    }
  }
  return child
}

/// Runs `body` when the deadline of a foreign program has passed. Dispatch keeps the time: a timer of the reactor would
/// count among those that a suite leaves behind.
private func afterPatience(_ body: @escaping @Sendable () -> Void) {
  let seconds = Int(Duration.patience.components.seconds)
  DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(seconds), execute: body)
}

private func recordExpiry(of name: String, _ sourceLocation: SourceLocation) {
  Issue.record(
    "waited for '\(name)' to end, and it had not ended after \(Duration.patience): it is killed",
    sourceLocation: sourceLocation)
}
