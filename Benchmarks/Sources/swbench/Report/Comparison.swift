/// A column of ratios: each row's figure to another row's of the same pass of rounds.
struct Comparison: Codable, Sendable {
  var heading: String
  /// To whom, by row; where a row is not named, it has no ratio.
  var references: [String: String]
  /// Whether the spread is shown too.
  var hasSpread = false

  /// Everybody to one.
  init(_ heading: String? = nil, to reference: String, for titles: [String], hasSpread: Bool = false) {
    self.heading = heading ?? "÷ \(reference)"
    self.hasSpread = hasSpread
    references = Dictionary(titles.map { ($0, reference) }) { first, _ in first }
  }

  /// Each to a reference of its own.
  init(_ heading: String, references: [String: String], hasSpread: Bool = false) {
    self.heading = heading
    self.references = references
    self.hasSpread = hasSpread
  }
}
