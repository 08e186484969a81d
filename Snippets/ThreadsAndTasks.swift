// One endpoint used by four threads and four tasks at once, in both directions: every call stands in one
// queue, first come, first served, whatever its colour, and no message is lost, doubled or mixed.
import Foundation
import SWMessaging

let share = 500

/// Runs blocking code on a thread of its own, and not on one of the pool.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
  }
}

let (near, far) = try makeSocketPair(framing: .varInt)
let echo = Task { for try await message in far.messages { try await far.send(message) } }

let received = try await withThrowingTaskGroup(of: [String].self) { group in
  for index in 0..<4 {
    group.addTask {
      try await onThread {
        try (0..<share).map { number in
          try near.blocking.send("thread \(index), message \(number)", timeout: .seconds(20))
          return String(decoding: try near.blocking.receive(timeout: .seconds(20)), as: UTF8.self)
        }
      }
    }
    group.addTask {
      var received: [String] = []
      for number in 0..<share {
        try await near.send("task \(index), message \(number)", timeout: .seconds(20))
        received.append(String(decoding: try await near.receive(timeout: .seconds(20)), as: UTF8.self))
      }
      return received
    }
  }
  var all: [String] = []
  for try await received in group { all += received }
  return all
}
near.finishSending()
try await echo.value

// Which caller gets which message depends on who asked first; together they have all of them.
let sent = (0..<4).flatMap { index in
  (0..<share).flatMap { ["thread \(index), message \($0)", "task \(index), message \($0)"] }
}
precondition(received.sorted() == sent.sorted())
print("\(received.count) messages went there and back, each of them once")

// Prints:
//   4000 messages went there and back, each of them once
