// A supervised Python worker: it is started, given typed jobs with a deadline each, replaced when it dies, and ended
// gracefully at SIGTERM. The tutorial "Supervise a Python worker" builds this program step by step.
import Dispatch
import Foundation
import SWMessaging
import SWPickle

let script = """
  import collections
  from multiprocessing.connection import Connection

  channel = Connection(3)
  try:
      while True:
          job = channel.recv()
          words = collections.Counter(job["text"].split())
          channel.send({"id": job["id"], "words": words})
  except EOFError:
      pass
  """

struct Job: Codable, Sendable {
  var id: Int
  var text: String
}

struct WordCount: Codable, Sendable {
  var id: Int
  var words: [String: Int]
}

typealias Worker = ChildProcess<TypedPickleFraming<MultiprocessingBytesFraming, WordCount, Job>>

/// The jobs, each of which is done by one worker at a time.
actor Jobs {
  private var count = 0
  private var unfinished: Job?
  private var isFinished = false

  /// The next job; nil when there is none and no other will come.
  func next() -> Job? {
    if let job = unfinished.take() { return job }
    if isFinished { return nil }
    count += 1
    return Job(id: count, text: "one word and one more word in job \(count)")
  }

  /// Takes back a job whose worker has died, so that the next worker does it.
  func putBack(_ job: Job) { unfinished = job }

  func finish() { isFinished = true }
}

/// Has a worker do one job within ten seconds.
func perform(_ job: Job, with worker: Worker) async throws(EndpointError) -> WordCount {
  let deadline = Deadline.after(.seconds(10))
  try await worker.channel.send(job, until: deadline)
  return try await worker.channel.receive(until: deadline)
}

/// Gives jobs to workers until there are no more. A worker that fails is ended, and replaced after a pause.
func supervise(_ jobs: Jobs, onResult report: @Sendable (WordCount, Worker) -> Void) async throws {
  let command = Command("python3", arguments: ["-c", script])
  var failures = 0
  while failures < 5 {
    do {
      // The worker ends with this scope, on every way out: end of input, then SIGTERM, then SIGKILL.
      return try await withChildProcess(
        command, framing: .multiprocessing(receiving: WordCount.self, sending: Job.self)
      ) { worker in
        while let job = await jobs.next() {
          do {
            let result = try await perform(job, with: worker)
            report(result, worker)
            failures = 0
          } catch {
            await jobs.putBack(job)
            throw error
          }
        }
      }
    } catch let error as EndpointError where error.reason != .cancelled {
      failures += 1
      print("worker failed (\(error)); starting another")
      try await Task.sleep(for: .milliseconds(100 << failures))
    }
  }
  throw TooManyFailures()
}

struct TooManyFailures: Error {}

/// Calls a function for each SIGTERM that this process receives, instead of ending it. Returns when that has begun.
func onTermination(_ handler: @escaping @Sendable () -> Void) async -> sending any DispatchSourceSignal {
  signal(SIGTERM, SIG_IGN)
  let source = DispatchSource.makeSignalSource(signal: SIGTERM, queue: .global())
  source.setEventHandler(handler: handler)
  await withCheckedContinuation { continuation in
    source.setRegistrationHandler { continuation.resume() }
    source.resume()
  }
  return source
}

let terminations = AsyncStream.makeStream(of: Void.self)
let signals = await onTermination { terminations.continuation.yield() }

let jobs = Jobs()
let supervisor = Task {
  try await supervise(jobs) { result, worker in
    if result.id % 10 == 0 { print("job \(result.id): \(result.words.values.reduce(0, +)) words") }
    // To show both: a worker that dies, and a request to stop.
    if result.id == 10 { try? worker.kill() }
    if result.id == 20 { kill(getpid(), SIGTERM) }
  }
}
let stopping = Task {
  var requests = terminations.stream.makeAsyncIterator()
  _ = await requests.next()
  print("stopping: the job under way is finished first")
  await jobs.finish()
  _ = await requests.next()
  supervisor.cancel()
}
try await supervisor.value
stopping.cancel()
print("stopped")

// Prints:
//   job 10: 9 words
//   worker failed (…); starting another
//   job 20: 9 words
//   …
//   stopping: the job under way is finished first
//   …
//   stopped
