// A pipe to a child: the child's standard output brings messages, its standard input takes them.
//
// The child is this program again, started with an argument.
import SWMessaging

if CommandLine.arguments.dropFirst().first == "child" {
  let parent = try MessageDuplex(reading: .standardInput, writing: .standardOutput, framing: .varInt)
  for try await message in parent.messages {
    try await parent.send(message.reversed())
  }
} else {
  let child = try await ChildProcess.spawn(
    "/proc/self/exe", arguments: ["child"], channel: .standardStreams, framing: .varInt)
  for word in ["stressed", "drawer", ""] {
    try await child.channel.send(word)
    let answer = String(decoding: try await child.channel.receive(timeout: .seconds(60)), as: UTF8.self)
    print("\(word) -> \(answer)")
    precondition(answer == String(word.reversed()))
  }
  // The child sees the end of its input, and ends too.
  child.channel.finishSending()
  let status = try await child.exitStatus
  print("the child \(status)")
  precondition(status.isSuccess)
}

// Prints:
//   stressed -> desserts
//   drawer -> reward
//    ->
//   the child exited with code 0
