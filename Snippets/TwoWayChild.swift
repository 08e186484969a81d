// A socket to a child, which finds its end by an environment variable. Both sides speak whenever they
// like; here the child also asks, and the parent answers.
//
// The child is this program again, started with an argument.
import SWMessaging

if CommandLine.arguments.dropFirst().first == "child" {
  let parent = try MessageDuplex(inheritedFrom: "SOCKETWRAPPER_FD", framing: .varInt)
  let task = String(decoding: try await parent.receive(), as: UTF8.self)
  try await parent.send("\(task): with what?")
  let tool = String(decoding: try await parent.receive(), as: UTF8.self)
  try await parent.send("done, with \(tool)")
} else {
  let child = try await ChildProcess.spawn("/proc/self/exe", arguments: ["child"], framing: .varInt)
  print("the child is process \(child.processID)")

  func say(_ text: String) async throws -> String {
    print("parent: \(text)")
    try await child.channel.send(text)
    let answer = String(decoding: try await child.channel.receive(timeout: .seconds(60)), as: UTF8.self)
    print("child:  \(answer)")
    return answer
  }
  let question = try await say("dig a hole")
  precondition(question == "dig a hole: with what?")
  let answer = try await say("a spade")
  precondition(answer == "done, with a spade")

  let end = try await child.channel.next(timeout: .seconds(60))
  precondition(end == nil)
  let status = try await child.exitStatus
  print("the child \(status)")
  precondition(status.isSuccess)
}

// Prints:
//   the child is process …
//   parent: dig a hole
//   child:  dig a hole: with what?
//   parent: a spade
//   child:  done, with a spade
//   the child exited with code 0
