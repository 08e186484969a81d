// A Python worker squares numbers: the program of the README. It needs a python3, and nothing installed in it.
// begin program
import SWMessaging
import SWPickle

struct Job: Codable, Sendable { var id: Int, values: [Double] }
struct Answer: Codable, Sendable { var id: Int, squares: [Double] }

let script = """
  from multiprocessing.connection import Connection
  connection = Connection(3)                 # the channel is descriptor 3
  try:
      while True:
          job = connection.recv()            # a dict
          connection.send({"id": job["id"], "squares": [x * x for x in job["values"]]})
  except EOFError:
      pass                                   # the Swift side has finished
  """

let worker = try await ChildProcess.spawn(
  "python3", arguments: ["-c", script], channel: .descriptor(3),
  framing: .multiprocessing(receiving: Answer.self, sending: Job.self))

try await worker.channel.send(Job(id: 1, values: [1, 2, 3]), timeout: .seconds(10))
let answer = try await worker.channel.receive(timeout: .seconds(10))
print(answer.squares)  // [1.0, 4.0, 9.0]

worker.channel.finishSending()
let status = try await worker.exitStatus
print(status)  // exited with code 0
// end program
precondition(answer.squares == [1, 4, 9] && status.isSuccess)

// Prints:
//   [1.0, 4.0, 9.0]
//   exited with code 0
