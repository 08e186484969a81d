import Foundation

// Puts mutants into copies of source files.
//
//     mutate FIRST DROPPED FILE...
//
// FIRST is the number of the first mutant, DROPPED a file with the numbers to leave out. Each file is changed where it
// is. The mutants are printed as JSON, one a line; the last line is the next number.
let arguments = CommandLine.arguments
guard arguments.count > 3, let first = Int(arguments[1]) else {
  print("usage: mutate FIRST DROPPED FILE...")
  exit(2)
}
let dropped = Set(
  try String(contentsOfFile: arguments[2], encoding: .utf8).split(whereSeparator: \.isWhitespace)
    .compactMap { Int($0) })
var numbering = Numbering(from: first, without: dropped)
for file in arguments[3...] {
  let source = try String(contentsOfFile: file, encoding: .utf8)
  let changed = SwiftMutator.mutate(source, file: file, numbering: &numbering)
  try changed.write(toFile: file, atomically: false, encoding: .utf8)
}
let encoder = JSONEncoder()
encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
for mutant in numbering.mutants { print(String(decoding: try encoder.encode(mutant), as: UTF8.self)) }
print(numbering.end)
