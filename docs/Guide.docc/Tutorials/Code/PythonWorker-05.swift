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

let worker: Worker = try await ChildProcess.spawn(
  "python3", arguments: ["-c", script],
  framing: .multiprocessing(receiving: WordCount.self, sending: Job.self))
try await worker.channel.send(Job(id: 1, text: "one word and one more word"))
let result = try await worker.channel.receive()
print("\(result.words["word", default: 0]) times 'word'")

worker.channel.finishSending()
let status = try await worker.exitStatus
print("the worker", status)
