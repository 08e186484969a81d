// A pipe between two tasks, and what a time-out leaves behind: nothing.
import SWMessaging

let (reader, writer) = try makePipe(framing: .varInt)

do {
  _ = try await reader.receive(timeout: .milliseconds(20))
  preconditionFailure("there is nothing to receive yet")
} catch {
  print("nobody has sent: \(error)")
  precondition(error.reason == .timedOut)
}

let sender = Task {
  for number in 1...5 { try await writer.send("message \(number)") }
  writer.close()
}

var received: [String] = []
for try await message in reader.messages {
  received.append(String(decoding: message, as: UTF8.self))
}
try await sender.value
print("received: \(received.joined(separator: ", "))")
precondition(received == (1...5).map { "message \($0)" })

// Prints:
//   nobody has sent: timed out
//   received: message 1, message 2, message 3, message 4, message 5
