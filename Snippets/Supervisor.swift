// A supervisor: four Python workers share the jobs. A worker that dies is replaced, and its job is done again, so no job
// is lost. Here one of them is killed while it works.
import SWMessaging

let script = """
  import sys
  for line in sys.stdin:
      print(int(line) ** 2, flush=True)
  """

typealias Worker = ChildProcess<LineFraming>

/// The jobs that are still to be done, and the results of those that are.
actor Jobs {
  private var pending: [Int]
  private var missing: Int
  private(set) var results: [Int: Int] = [:]
  private(set) var repeated: [Int] = []

  init(_ jobs: Range<Int>) {
    pending = jobs.reversed()
    missing = jobs.count
  }

  func next() -> Int? { pending.popLast() }
  var areDone: Bool { missing == 0 }

  func finish(_ job: Int, _ result: Int) {
    results[job] = result
    missing -= 1
  }

  /// The job was under way when its worker died. It may or may not be done: this one may be done twice.
  func putBack(_ job: Int) {
    repeated.append(job)
    pending.append(job)
  }
}

struct WorkerDied: Error {}

/// Hands jobs to one worker until none is left.
func work(_ jobs: Jobs, with worker: Worker, killing unlucky: Int) async throws {
  while let job = await jobs.next() {
    do {
      // The first worker that gets this job dies of it.
      if job == unlucky, await jobs.repeated.isEmpty { try worker.kill() }
      try await worker.channel.send("\(job)", timeout: .seconds(60))
      let answer = try await worker.channel.receive(timeout: .seconds(60))
      guard let result = Int(String(decoding: answer, as: UTF8.self)) else { throw WorkerDied() }
      await jobs.finish(job, result)
    } catch {
      await jobs.putBack(job)
      throw WorkerDied()
    }
  }
}

let jobs = Jobs(0..<40)
let unlucky = 7
await withTaskGroup { group in
  for number in 1...4 {
    group.addTask {
      while !(await jobs.areDone) {
        do {
          // The worker ends with its scope, on every way out.
          try await withChildProcess(
            Command("python3", arguments: ["-c", script]), channel: .standardStreams, framing: .lines
          ) { worker in try await work(jobs, with: worker, killing: unlucky) }
          return
        } catch {
          print("worker \(number) has died, and another takes its place")
        }
      }
    }
  }
}

let results = await jobs.results
print("\(results.count) jobs done; done again: \(await jobs.repeated)")
precondition(results == Dictionary(uniqueKeysWithValues: (0..<40).map { ($0, $0 * $0) }))

// Prints:
//   worker … has died, and another takes its place
//   40 jobs done; done again: [7]
