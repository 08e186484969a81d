import Foundation
import Testing

@Suite struct DocumentTests {
  /// The command behind a prompt, and the output that the document states.
  struct Example: CustomTestStringConvertible, Sendable {
    var command: String
    var output = ""
    var testDescription: String { command }
  }

  /// The examples of a file of the repository.
  private static func examples(of name: String) -> [Example] {
    var file = URL(filePath: #filePath)
    for _ in 0..<4 { file.deleteLastPathComponent() }
    let text = (try? String(contentsOf: file.appending(path: name), encoding: .utf8)) ?? ""
    var examples: [Example] = []
    var isInside = false
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("```") {
        isInside = line == "```console"
      } else if isInside, line.hasPrefix("$ ") {
        examples.append(Example(command: String(line.dropFirst(2))))
      } else if isInside, !examples.isEmpty {
        examples[examples.count - 1].output += line + "\n"
      }
    }
    return examples
  }

  static let examples = examples(of: "docs/swcat.md")
  static let complaints = examples(of: "Tools/Tests/swcatTests/Golden/complaints.md")

  @Test func `the documents have examples`() {
    #expect(Self.examples.count > 10)
    #expect(Self.complaints.count > 10)
  }

  @Test(arguments: examples + complaints)
  func `an example prints what the document says`(_ example: Example) throws {
    let run = try Program.shell("cd $DIR; { \(example.command); } 2>&1")
    // A frame may end without a line feed; the document cannot.
    let text = run.text.replacing("\r\n", with: "\n")
    #expect(text == example.output || text + "\n" == example.output)
  }

  @Test(arguments: ["", "encode", "decode", "send", "receive", "call", "listen", "relay", "exec", "connect"])
  func `help is as it was`(_ command: String) throws {
    let name = command.isEmpty ? "swcat" : command
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/help-\(name).txt")
    let run = try Program.shell("COLUMNS=100 swcat \(command) --help")
    #expect(run.status == 0)
    #expect(run.text.contains("Examples:"))
    // UPDATE=1 writes it.
    if ProcessInfo.processInfo.environment["UPDATE"] != nil { try Data(run.output).write(to: file) }
    #expect(run.text == (try String(contentsOf: file, encoding: .utf8)))
  }
}
