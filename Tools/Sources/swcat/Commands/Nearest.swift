/// Names that somebody may have meant.
enum Nearest {
  /// The question whether names that are close to this one are meant; empty if none is close.
  static func hint(to text: String, among names: [String]) -> String {
    let wanted = text.lowercased()
    let close = names.filter { name in
      let stem = String(name.prefix { $0 != ":" })
      // `u32` is short for two names.
      let isPrefix = wanted.utf8.count > 2 && stem.hasPrefix(wanted)
      return isPrefix || distance(stem, wanted) <= (stem.utf8.count > 4 ? 2 : 1)
    }
    return close.isEmpty ? "" : "; did you mean \(close.joined(separator: " or "))?"
  }

  /// How many bytes have to be replaced, left out, put in, or swapped with the next.
  private static func distance(_ one: String, _ other: String) -> Int {
    let (a, b) = (Array(one.utf8), Array(other.utf8))
    var before: [Int] = []
    var last = Array(0...b.count)
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        var least = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, before[j - 1] + 1) }
        row.append(least)
      }
      before = last
      last = row
    }
    return last[b.count]
  }
}
