internal import TextTable

/// The goals as a table.
struct GoalTable {
  let rows: [GoalRow]

  var text: String { "Goals\n\n" + render(Style.simple) }
  var markdown: String { render(Style.pipe) }

  private func render(_ style: any TextTableStyle.Type) -> String {
    let table = TextTable<GoalRow> { row in
      [
        Column(title: "work", value: row.work), Column(title: "goal", value: row.goal),
        Column(title: "measured", value: row.measured),
        Column(title: "", value: row.isReached.map { $0 ? "reached" : "NOT REACHED" } ?? "–"),
      ]
    }
    return table.string(for: rows, style: style) ?? ""
  }
}
