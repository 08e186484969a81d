public import SWFraming
internal import SWIO
internal import Synchronization

/// Spawns a child, and ends it when `body` has returned or thrown.
///
///     let lines = try await withChildProcess(command) { child in
///       try await firstLines(of: child)
///     }
///
/// If the task is cancelled the child's end begins at once, while `body` may still run. In every case the child has ended
/// when this returns: see ``SpawnedProcess/end(in:of:)``.
///
/// - Parameters:
///   - command: the program, and what the child begins with.
///   - steps: what to do before SIGKILL. A child that leads a group is ended with its group.
///   - body: uses the child. It may wait for the child's end or end it itself.
/// - Returns: the value that `body` returned.
/// - Throws: what ``Command/spawn()`` throws, then without having called `body`; what `body` throws; and otherwise
///   ``EndpointError`` `transport` with the operation `signal` when the child cannot be killed.
public func withChildProcess<Value>(
  _ command: Command, ending steps: [EndStep] = .standard,
  _ body: (SpawnedProcess) async throws -> Value
) async throws -> Value {
  try await ended(try await command.spawn(), in: steps, body)
}

/// Spawns a child with a channel of messages, and ends it when `body` has returned or thrown; see
/// ``withChildProcess(_:ending:_:)``.
///
///     let answer = try await withChildProcess(Command("worker"), framing: .varInt) { worker in
///       try await worker.channel.send("question")
///       return try await worker.channel.receive()
///     }
public func withChildProcess<F: Framing, Value>(
  _ command: Command, channel: ChildChannel = .descriptor(3), framing: F, mode: ReceiveMode = .readAhead,
  maximumFrameSize: Int = defaultMaximumFrameSize, ending steps: [EndStep] = .standard,
  _ body: (ChildProcess<F>) async throws -> Value
) async throws -> Value {
  let child = try await command.spawn(
    channel: channel, framing: framing, mode: mode, maximumFrameSize: maximumFrameSize)
  return try await ended(child, in: steps, body)
}

private func ended<Process: SpawnedProcess, Value>(
  _ child: Process, in steps: [EndStep], _ body: (Process) async throws -> Value
) async throws -> Value {
  let ending = Ending(child, steps)
  do {
    let value = try await withTaskCancellationHandler {
      try await body(child)
    } onCancel: {
      ending.begin()
    }
    if let error = await ending.begin().value, !error.saysThatStatusIsLost { throw error }
    return value
  } catch {
    _ = await ending.begin().value
    throw error
  }
}

/// The end of a child, which begins once.
private final class Ending: Sendable {
  private let process: SpawnedProcess
  private let steps: [EndStep]
  private let task = Guarded<Task<EndpointError?, Never>?>(nil)

  init(_ process: SpawnedProcess, _ steps: [EndStep]) {
    self.process = process
    self.steps = steps
  }

  @discardableResult
  func begin() -> Task<EndpointError?, Never> {
    task.withLock { task in
      if let task { return task }
      let (process, steps) = (process, steps)
      let begun = Task { () -> EndpointError? in
        do throws(EndpointError) {
          _ = try await process.end(in: steps)
          return nil
        } catch {
          return error
        }
      }
      task = begun
      return begun
    }
  }
}

extension EndpointError {
  /// Whether the child has ended and its status is lost.
  var saysThatStatusIsLost: Bool {
    if case .transport(let error) = reason { return error.operation == .exitStatus }
    return false
  }
}
