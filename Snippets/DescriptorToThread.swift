// A descriptor's number handed to a thread that shares nothing else with this one: it duplicates the number into an
// endpoint of its own. Python's `socketwrapper` does this across interpreters; what travels is one integer.
import Foundation
import SWMessaging

/// Knows a number, and nothing of its origin.
func worker(_ number: Int32) throws {
  let channel = try MessageDuplex(duplicating: .init(rawValue: number), framing: .varInt)
  // From here on the number is its owner's alone again, who waits for this.
  try channel.blocking.send("duplicated", timeout: .seconds(60))
  while let message = try channel.blocking.next(timeout: .seconds(60)) {
    try channel.blocking.send(message.reversed(), timeout: .seconds(60))
  }
}

let (near, far) = try makeSocketPair(framing: .varInt)
let number = try far.withDescriptor { $0.rawValue }
let working = Task {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread { continuation.resume(with: Result { try worker(number) }) }
  }
}

let greeting = String(decoding: try await near.receive(timeout: .seconds(60)), as: UTF8.self)
precondition(greeting == "duplicated")
// The worker's duplicate keeps the connection open, whatever becomes of this one, and of the number.
far.close()
for word in ["stressed", "drawer"] {
  try await near.send(word)
  let answer = String(decoding: try await near.receive(timeout: .seconds(60)), as: UTF8.self)
  print("\(word) -> \(answer)")
  precondition(answer == String(word.reversed()))
}
near.finishSending()
try await working.value
// The last duplicate has gone.
let end = try await near.next(timeout: .seconds(60))
precondition(end == nil)
print("descriptor \(number) went to another thread and back")

// Prints:
//   stressed -> desserts
//   drawer -> reward
//   descriptor … went to another thread and back
