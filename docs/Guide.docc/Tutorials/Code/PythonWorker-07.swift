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

  /// The next job; nil when there is none and no other will come.
  func next() -> Job? {
    if let job = unfinished.take() { return job }
    if count == 20 { return nil }
    count += 1
    return Job(id: count, text: "one word and one more word in job \(count)")
  }

  /// Takes back a job whose worker has died, so that the next worker does it.
  func putBack(_ job: Job) { unfinished = job }
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

try await supervise(Jobs()) { result, worker in
  if result.id % 10 == 0 { print("job \(result.id): \(result.words.values.reduce(0, +)) words") }
  if result.id == 10 { try? worker.kill() }
}
