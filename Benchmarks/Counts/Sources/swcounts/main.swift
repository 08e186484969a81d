import CCounts

// Does one path's work a number of times. Callgrind counts its instructions and strace its system calls from outside. The
// program counts its allocations itself. scripts/bench-counts runs it and compares the result with the baseline.
//
//     swcounts list
//     swcounts PATH COUNT     COUNT: a multiple of a hundred, which some paths move at a time

private let paths = messagePaths + valuePaths

let arguments = CommandLine.arguments.dropFirst()
if arguments.first == "list", arguments.count == 1 {
  for path in paths { print(path.name, path.standardCount, path.summary) }
} else if arguments.count == 2, let name = arguments.first, let count = arguments.last.flatMap({ Int($0) }),
  count > 0, count.isMultiple(of: 100), let path = paths.first(where: { $0.name == name })
{
  let allocations = try path.run(count)
  print("allocations", allocations)
} else {
  fail("usage: swcounts list | swcounts PATH COUNT; paths: \(paths.map(\.name).joined(separator: " "))")
}
