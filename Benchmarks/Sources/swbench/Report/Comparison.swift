/// A column of ratios: each row's figure divided by another row's of the same pass.
struct Comparison: Codable, Sendable {
  var heading: String
  /// The reference of each row. A row without an entry has no ratio.
  var references: [String: String]
  /// Whether the spread is shown too.
  var hasSpread = false

  /// Compares all rows with one.
  init(_ heading: String? = nil, to reference: String, for titles: [String], hasSpread: Bool = false) {
    self.heading = heading ?? "÷ \(reference)"
    self.hasSpread = hasSpread
    references = Dictionary(titles.map { ($0, reference) }) { first, _ in first }
  }

  /// Compares each row with its own reference.
  init(_ heading: String, references: [String: String], hasSpread: Bool = false) {
    self.heading = heading
    self.references = references
    self.hasSpread = hasSpread
  }
}
