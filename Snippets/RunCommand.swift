// Programs as children: run to the end with their output collected, with their errors as lines while they run, and
// ended with a scope.
import SWMessaging

var sort = Command("sort", arguments: ["--reverse"])
sort.environment = .inheriting(adding: ["LC_ALL": "C"])
let sorted = try await sort.run(input: Array("b\na\nc\n".utf8), timeout: .seconds(60))
print("sort \(sorted.status): \(sorted.outputText.split(separator: "\n"))")
precondition(sorted.status.isSuccess && sorted.outputText == "c\nb\na\n")

// Standard error as lines, while the program runs.
var talker = Command("sh", arguments: ["-c", "echo starting >&2; echo done >&2; exit 3"])
talker.standardOutput = .null
talker.standardError = .endpoint
let child = try await talker.spawn()
var lines: [String] = []
if let errors = child.standardError {
  for try await line in MessageReader(over: errors, framing: .lines).messages {
    lines.append(String(decoding: line, as: UTF8.self))
  }
}
let status = try await child.exitStatus
print("it said \(lines) and \(status)")
precondition(lines == ["starting", "done"] && status == .exited(3))

// A child that ends with its scope, and its descendants with it: they are a process group of their own.
var echo = Command("sh", arguments: ["-c", "sleep 600 & cat"])
echo.group = .new
let answer = try await withChildProcess(echo, channel: .standardStreams, framing: .lines) { echo in
  try await echo.channel.send("anybody there?")
  return String(decoding: try await echo.channel.receive(timeout: .seconds(60)), as: UTF8.self)
}
print(answer)
precondition(answer == "anybody there?")

// Prints:
//   sort exited with code 0: ["c", "b", "a"]
//   it said ["starting", "done"] and exited with code 3
//   anybody there?
