internal import Foundation

/// A Markdown page with places for a run's results. The text between `<!-- swbench NAME -->` and `<!-- end -->` is replaced,
/// and the rest is left alone.
///
/// NAME is `run` (date and machine), `goals`, or the beginning of benchmarks' names.
struct Page {
  let report: Report

  func update(_ path: String) throws {
    let text = try String(contentsOfFile: path, encoding: .utf8)
    var out: [Substring] = []
    var isReplacing = false
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line == "<!-- end -->" { isReplacing = false }
      if !isReplacing { out.append(line) }
      if line.hasPrefix("<!-- swbench "), line.hasSuffix(" -->") {
        let name = String(line.dropFirst(13).dropLast(4))
        guard let block = block(name) else { continue }
        isReplacing = true
        out.append("\n\(block)"[...])
      }
    }
    try out.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
  }

  /// The text for a place; nil if this run has none, and then the present text stays.
  private func block(_ name: String) -> String? {
    switch name {
    case "run":
      return """
        | | |
        |---|---|
        | date | \(report.date.formatted(.iso8601.year().month().day())) |
        | kernel | Linux \(report.kernel) |
        | processor | \(report.processor), \(report.processorCount) cores |
        | load before | \(report.loadBefore.digits(1)) |
        | compiler | \(report.compiler), release build |
        | rounds | \(report.rounds) of \(report.milliseconds) ms for each contender |

        """
    case "goals":
      return GoalTable(rows: report.goals).markdown
    default:
      let tables = report.results.filter { $0.name.hasPrefix(name) }.map { ResultTable($0).markdown }
      return tables.isEmpty ? nil : tables.joined(separator: "\n")
    }
  }
}
