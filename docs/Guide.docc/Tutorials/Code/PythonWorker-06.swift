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

/// Has a worker do one job within ten seconds.
func perform(_ job: Job, with worker: Worker) async throws(EndpointError) -> WordCount {
  let deadline = Deadline.after(.seconds(10))
  try await worker.channel.send(job, until: deadline)
  return try await worker.channel.receive(until: deadline)
}

let command = Command("python3", arguments: ["-c", script])
try await withChildProcess(
  command, framing: .multiprocessing(receiving: WordCount.self, sending: Job.self)
) { worker in
  do throws(EndpointError) {
    let result = try await perform(Job(id: 1, text: "one word and one more word"), with: worker)
    print("\(result.words["word", default: 0]) times 'word'")
  } catch {
    switch error.reason {
    case .timedOut: print("no answer within ten seconds")
    case .endOfStream, .truncated, .transport: print("the worker has ended: \(error)")
    default: print(error)
    }
  }
}
