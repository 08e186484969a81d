/// A change of one place, chosen at run time.
struct Mutant: Encodable {
  var id: Int
  var file: String
  var line: Int
  /// The first and the last line of the function, or of the property, around it.
  var scope: [Int]
  /// The kind of change, in a word.
  var change: String
  /// The code that is changed, on one line.
  var code: String
}

/// Gives out numbers, and leaves out the mutants that did not compile.
struct Numbering {
  private(set) var mutants: [Mutant] = []
  private var next: Int
  private let dropped: Set<Int>

  init(from first: Int, without dropped: Set<Int>) {
    next = first
    self.dropped = dropped
  }

  /// The number of a mutant; nil if it is to be left out. The same source gives the same numbers.
  mutating func number(
    _ file: String, _ line: Int, in scope: ClosedRange<Int>, _ change: String, _ code: String
  ) -> Int? {
    defer { next += 1 }
    guard !dropped.contains(next) else { return nil }
    var text = code.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    if text.count > 100 { text = text.prefix(97) + "..." }
    mutants.append(
      Mutant(
        id: next, file: file, line: line, scope: [scope.lowerBound, scope.upperBound], change: change,
        code: text))
    return next
  }

  /// The first number that is not taken.
  var end: Int { next }
}
