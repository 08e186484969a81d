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

let worker = try await ChildProcess.spawn("python3", arguments: ["-c", script], framing: .multiprocessing)
try await worker.channel.send(["id": 1, "text": "one word and one more word"])
let answer = try await worker.channel.receive()
print(answer)
