internal import TextTable

/// A benchmark's result as a table: for a terminal, or as Markdown.
struct ResultTable {
  let result: BenchmarkResult

  init(_ result: BenchmarkResult) { self.result = result }

  var text: String { "\(result.title)\n\n\(render(Style.simple))\(notes(""))" }
  var markdown: String { "### \(result.title)\n\n\(render(Style.pipe))\(notes("\n"))" }

  /// The columns with at least one ratio.
  private var columns: [Comparison] {
    result.columns.filter { $0.references.values.contains { result.row($0)?.figure != nil } }
  }

  /// Whether messages are so large that their number per second means little.
  private var isLarge: Bool { result.byteCount >= 65_536 }

  private var headings: [String] {
    let figures =
      result.hasLatencies
      ? ["median µs", "p99 µs", "p99.9 µs"]
      : ["\(isLarge ? "µs" : result.measure) a \(result.unit)"]
        + (isLarge ? ["MB/s"] : result.byteCount > 0 ? ["M/s", "MB/s"] : [])
    return ["contender"] + figures + extraKeys
      + columns.flatMap { $0.hasSpread ? [$0.heading, "from … to"] : [$0.heading] }
  }

  private var extraKeys: [String] { Set(result.rows.flatMap(\.extras.keys)).sorted() }

  private func cells(_ row: BenchmarkResult.Row) -> [String] {
    guard let figure = row.figure else { return [] }
    var cells = [row.contender]
    if result.hasLatencies {
      cells += ["50", "99", "99.9"].map { key in
        row.latency?[key].map { (Double($0) / 1000).short } ?? "–"
      }
    } else {
      let throughput = (Double(result.byteCount) * 1000 / figure.median).short
      if isLarge {
        cells += [(figure.median / 1000).short, throughput]
      } else {
        cells.append(figure.median.short)
        if result.byteCount > 0 { cells += [(1000 / figure.median).short, throughput] }
      }
    }
    cells += extraKeys.map { row.extras[$0]?.median.short ?? "–" }
    for column in columns {
      let reference = column.references[row.contender]
      let ratio = reference.flatMap { row.ratios[$0] }
      cells.append(reference == row.contender ? "1" : ratio?.median.ratio ?? "–")
      if column.hasSpread {
        cells.append(ratio.map { "\($0.minimum.ratio) … \($0.maximum.ratio)" } ?? "")
      }
    }
    return cells
  }

  private func render(_ style: any TextTableStyle.Type) -> String {
    let headings = headings
    let rows = result.rows.map(cells).filter { !$0.isEmpty }
    let table = TextTable<[String]> { cells in
      zip(headings, cells).enumerated().map { index, pair in
        Column(title: pair.0, value: pair.1, align: index == 0 ? .left : .right)
      }
    }
    return table.string(for: rows, style: style) ?? "(nobody took part)\n"
  }

  /// The contenders that are missing, and why.
  private func notes(_ separator: String) -> String {
    let lines = result.rows.compactMap { row in
      if let reason = row.unavailable { return "\(row.contender): left out, \(reason)" }
      if let reason = row.failure { return "\(row.contender): FAILED, \(reason)" }
      return nil
    }
    return lines.isEmpty ? "" : separator + lines.map { $0 + "\n" + separator }.joined()
  }
}

extension Double {
  /// Three significant digits.
  var short: String {
    if self >= 100 || self == 0 { return String(Int(rounded())) }
    return digits(self >= 10 ? 1 : self >= 1 ? 2 : 3)
  }

  var ratio: String { self >= 100 ? String(Int(rounded())) : digits(self >= 10 ? 1 : 2) }

  func digits(_ count: Int) -> String {
    var scale = 1.0
    for _ in 0..<count { scale *= 10 }
    let scaled = Int((magnitude * scale).rounded())
    let fraction = String(scaled % Int(scale))
    let padding = String(repeating: "0", count: count - fraction.count)
    return "\(self < 0 ? "-" : "")\(scaled / Int(scale)).\(padding)\(fraction)"
  }
}
