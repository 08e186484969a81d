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
