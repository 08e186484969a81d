import Foundation
import Testing

@Suite struct DocumentTests {
  /// What stands behind a prompt, and what the document says that it prints.
  struct Example: CustomTestStringConvertible, Sendable {
    var command: String
    var output = ""
    var testDescription: String { command }
  }

  static let examples: [Example] = {
    var file = URL(filePath: #filePath)
    for _ in 0..<4 { file.deleteLastPathComponent() }
    let text = (try? String(contentsOf: file.appending(path: "docs/swcat.md"), encoding: .utf8)) ?? ""
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
  }()

  @Test func `the document has examples`() { #expect(Self.examples.count > 10) }

  @Test(arguments: examples)
  func `an example prints what the document says`(_ example: Example) throws {
    let run = try Program.shell("{ \(example.command); } 2>&1")
    // A frame may end without a line feed; the document cannot.
    let text = run.text.replacing("\r\n", with: "\n")
    #expect(text == example.output || text + "\n" == example.output)
  }
}
