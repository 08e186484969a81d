/// The median of a set of figures, and their spread.
struct Spread: Codable, Sendable {
  var median: Double
  var lower: Double
  var upper: Double
  var minimum: Double
  var maximum: Double

  /// `nil` for no figures.
  init?(_ figures: [Double]) {
    let sorted = figures.filter(\.isFinite).sorted()
    guard let first = sorted.first, let last = sorted.last else { return nil }
    median = Self.quantile(0.5, of: sorted)
    lower = Self.quantile(0.25, of: sorted)
    upper = Self.quantile(0.75, of: sorted)
    minimum = first
    maximum = last
  }

  private static func quantile(_ fraction: Double, of sorted: [Double]) -> Double {
    let position = fraction * Double(sorted.count - 1)
    let below = Int(position)
    let above = min(below + 1, sorted.count - 1)
    return sorted[below] + (sorted[above] - sorted[below]) * (position - Double(below))
  }
}
