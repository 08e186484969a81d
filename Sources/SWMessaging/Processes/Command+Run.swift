internal import SWIO
internal import Synchronization
internal import SystemPackage

/// The end of a command that has been run, and the output that was collected.
public struct CommandResult: Hashable, Sendable {
  /// How the child ended.
  public var status: TerminationStatus
  /// The bytes of the standard output; none if it was not collected.
  public var output: [UInt8]
  /// The bytes of the standard error; none if it was not collected.
  public var errorOutput: [UInt8]

  public init(status: TerminationStatus, output: [UInt8], errorOutput: [UInt8]) {
    self.status = status
    self.output = output
    self.errorOutput = errorOutput
  }

  /// The standard output as text. Bytes that are no UTF-8 are replaced by U+FFFD.
  public var outputText: String { String(decoding: output, as: UTF8.self) }
  /// The standard error as text. Bytes that are no UTF-8 are replaced by U+FFFD.
  public var errorText: String { String(decoding: errorOutput, as: UTF8.self) }
}

extension Command {
  /// How many bytes of an output are collected unless more are asked for: 16 MiB.
  public static var defaultOutputLimit: Int { 16 << 20 }

  /// Spawns a child, waits for its end, and collects its output.
  ///
  ///     let result = try await Command("git", arguments: ["rev-parse", "HEAD"]).run()
  ///     if result.status.isSuccess { use(result.outputText) }
  ///
  /// The standard output and the standard error are collected, each unless the command says where it goes (also as
  /// ``Output/inherited``). An exit code other than 0 is no error. When the child has ended, output of its descendants is
  /// collected for ``channelGrace`` at most.
  ///
  /// - Parameters:
  ///   - input: the bytes that the child finds in its standard input; nil: ``standardInput`` says, which must not be
  ///     ``Input/endpoint`` then. A child that ends without having read all of them is no error.
  ///   - limit: how many bytes of each output are collected.
  ///   - timeout: how long the child may take, its output and the wait for a thread that spawns it included; nil: without
  ///     limit. A spawn that has begun is waited for, however long the program takes to load.
  ///   - deadline: until when it may run at most. With both, the earlier one counts.
  ///   - steps: what to do before SIGKILL if the child has to be ended. Its input has ended by then.
  /// - Throws: ``EndpointError`` as ``spawn()``, EINVAL also for an input that contradicts the command; `timedOut`;
  ///   `cancelled`; `transport` with the operation `receive` and EMSGSIZE if an output exceeds the limit, with its first
  ///   bytes in ``EndpointError/partialBytes``; `transport` with ECHILD when the status was lost. In every case the child
  ///   has ended when this throws.
  public func run(
    input: [UInt8]? = nil, limit: Int = defaultOutputLimit, timeout: Duration? = nil,
    until deadline: Deadline = .never,
    ending steps: [EndStep] = [.signal(.terminate, within: .seconds(2))]
  ) async throws(EndpointError) -> CommandResult {
    let deadline = CallLimit(timeout, deadline).deadline
    let child = try await collecting(input).spawn(beginningUntil: deadline)
    let collection = await withTaskGroup(of: RunPart.self) { group in
      if let writer = child.standardInput, let input {
        group.addTask {
          let error = await failure { () async throws(EndpointError) in
            try await writer.send(input, until: deadline)
          }
          writer.close()
          return .fed(error)
        }
      }
      for (number, reader) in child.outputs {
        group.addTask {
          var output = Collected(number, limit, self)
          while !output.isOver {
            do throws(EndpointError) {
              output.add(try await reader.receive(until: deadline))
            } catch {
              output.end(with: error)
            }
          }
          return .collected(output)
        }
      }
      group.addTask {
        var status: TerminationStatus?
        let error = await failure { () async throws(EndpointError) in
          status = try await child.waitForExit(until: deadline)
        }
        return .ended(status, error)
      }
      var collection = RunCollection()
      for await part in group {
        collection.add(part)
        if collection.failure != nil { group.cancelAll() }
      }
      return collection
    }
    do throws(EndpointError) {
      return try collection.result()
    } catch {
      _ = try? await child.end(in: steps)
      throw error
    }
  }

  /// Returns the command with a pipe for each stream that is fed or collected.
  fileprivate func collecting(_ input: [UInt8]?) throws(EndpointError) -> Command {
    var command = self
    if input != nil {
      guard standardInput == nil else {
        throw EndpointError(
          spawning: .invalidArgument, "standard input of the child: there are two sources for it")
      }
      command.standardInput = .endpoint
    } else if standardInput == .endpoint {
      throw EndpointError(
        spawning: .invalidArgument,
        "standard input of the child: an endpoint, and no input is given to send to it")
    }
    command.standardOutput = standardOutput ?? .endpoint
    command.standardError = standardError ?? .endpoint
    return command
  }
}

extension BlockingCommand {
  /// Blocking form of ``Command/run(input:limit:timeout:until:ending:)``. Beside the calling thread it uses one for each
  /// stream that is fed or collected.
  ///
  /// - Throws: ``EndpointError`` also `transport` with the operation `offload` when such a thread cannot be made.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func run(
    input: [UInt8]? = nil, limit: Int = Command.defaultOutputLimit, timeout: Duration? = nil,
    until deadline: Deadline = .never,
    ending steps: [EndStep] = [.signal(.terminate, within: .seconds(2))]
  ) throws(EndpointError) -> CommandResult {
    let deadline = CallLimit(timeout, deadline).deadline
    let child = try command.collecting(input).blocking.spawn()
    let helpers = Helpers()
    if let writer = child.standardInput, let input {
      helpers.start(feeding: true) {
        let error = blockingFailure { () throws(EndpointError) in
          try writer.blocking.send(input, until: deadline)
        }
        writer.close()
        return .fed(error)
      }
    }
    for (number, reader) in child.outputs {
      let command = command
      helpers.start {
        var output = Collected(number, limit, command)
        while !output.isOver {
          do throws(EndpointError) {
            output.add(try reader.blocking.receive(until: deadline))
          } catch {
            output.end(with: error)
          }
        }
        return .collected(output)
      }
    }
    helpers.start {
      var status: TerminationStatus?
      let error = blockingFailure { () throws(EndpointError) in
        status = try child.blocking.waitForExit(until: deadline)
      }
      return .ended(status, error)
    }
    // The first failure ends the input, and then the child, which ends all other waits.
    let collection = helpers.wait {
      child.standardInput?.close()
    } thenEnding: {
      _ = try? child.blocking.end(in: steps)
      for (_, reader) in child.outputs { reader.close() }
    }
    return try collection.result()
  }
}

// MARK: - What run consists of

extension SpawnedProcess {
  /// The outputs that are collected here, with their numbers.
  fileprivate final var outputs: [(number: Int32, reader: SocketReader)] {
    [(1, standardOutput), (2, standardError)].compactMap { number, reader in reader.map { (number, $0) } }
  }
}

/// A collected output, as far as it has been received.
private struct Collected: Sendable {
  let number: Int32
  private(set) var bytes: [UInt8] = []
  private(set) var isOver = false
  private(set) var error: EndpointError?
  private let limit: Int
  private let program: Command.Program

  init(_ number: Int32, _ limit: Int, _ command: Command) {
    self.number = number
    self.limit = limit
    program = command.program
  }

  mutating func add(_ chunk: [UInt8]) {
    if chunk.count <= limit - bytes.count {
      bytes += chunk
      return
    }
    bytes += chunk.prefix(max(limit - bytes.count, 0))
    end(
      with: EndpointError(
        .transport(TransportError(.receive, .messageTooLong)),
        explanation: "standard \(number == 1 ? "output" : "error") of \(program) exceeds \(limit) bytes"))
  }

  mutating func end(with error: EndpointError) {
    isOver = true
    if error.reason == .endOfStream { return }
    var error = error
    error.partialBytes = bytes
    self.error = error
  }
}

private enum RunPart: Sendable {
  case fed(EndpointError?)
  case collected(Collected)
  case ended(TerminationStatus?, EndpointError?)
}

/// The parts of a run that have ended.
private struct RunCollection: Sendable {
  private(set) var failure: EndpointError?
  private var status: TerminationStatus?
  private var output: [UInt8] = []
  private var errorOutput: [UInt8] = []

  mutating func add(_ part: RunPart) {
    switch part {
    case .fed(let error):
      // A child need not read its input.
      if let error, error.reason != .transport(TransportError(.send, .brokenPipe)) { fail(error) }
    case .collected(let collected):
      if let error = collected.error { fail(error) }
      if collected.number == 1 { output = collected.bytes } else { errorOutput = collected.bytes }
    case .ended(let status, let error):
      self.status = status
      if let error { fail(error) }
    }
  }

  /// Keeps the first failure, because later ones follow from it.
  mutating func fail(_ error: EndpointError) { failure = failure ?? error }

  func result() throws(EndpointError) -> CommandResult {
    if let failure { throw failure }
    guard let status else { throw EndpointError(.closed) }
    return CommandResult(status: status, output: output, errorOutput: errorOutput)
  }
}

/// Returns the error that `body` throws.
private func failure<Value>(_ body: () async throws(EndpointError) -> Value) async -> EndpointError? {
  do throws(EndpointError) {
    _ = try await body()
    return nil
  } catch {
    return error
  }
}

private func blockingFailure<Value>(_ body: () throws(EndpointError) -> Value) -> EndpointError? {
  do throws(EndpointError) {
    _ = try body()
    return nil
  } catch {
    return error
  }
}

/// The threads of a blocking run.
private final class Helpers: Sendable {
  private struct State: Sendable {
    var running = 0
    /// Whether the thread that sends the input runs.
    var isFeeding = false
    var collection = RunCollection()
  }

  private let state = Guarded(State())
  private let wakeUp = WakeUp.take()

  deinit { WakeUp.giveBack(wakeUp) }

  func start(feeding: Bool = false, _ body: @escaping @Sendable () -> RunPart) {
    state.withLock { state in
      state.running += 1
      if feeding { state.isFeeding = true }
    }
    let errno = SpawnThreads.start {
      let part = body()
      self.finish(feeding) { $0.add(part) }
    }
    if let errno { finish(feeding) { $0.fail(EndpointError(.transport(TransportError(.offload, errno)))) } }
  }

  private func finish(_ feeding: Bool, _ note: (inout RunCollection) -> Void) {
    state.withLock { state in
      note(&state.collection)
      state.running -= 1
      if feeding { state.isFeeding = false }
    }
    wakeUp.signal()
  }

  /// Waits until all parts have ended.
  ///
  /// - Parameters:
  ///   - endInput: called once if a part fails, so that the input ends.
  ///   - end: called once after that, when the input has ended, so that the other parts end.
  func wait(endingInput endInput: () -> Void, thenEnding end: () -> Void) -> RunCollection {
    var (hasEndedInput, hasEnded) = (false, false)
    while true {
      let (isOver, isFeeding, collection) = state.withLock { ($0.running == 0, $0.isFeeding, $0.collection) }
      if collection.failure != nil {
        if !hasEndedInput {
          hasEndedInput = true
          endInput()
        }
        // An input whose thread still uses it is open until that thread has returned.
        if !hasEnded, !isFeeding {
          hasEnded = true
          end()
        }
      }
      if isOver { return collection }
      wakeUp.wait(watching: nil, for: [], until: .never)
    }
  }
}
