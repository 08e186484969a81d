internal import Foundation

/// A line plot, written as SVG.
struct Plot {
  enum Scale {
    case linear
    case logarithmic
    /// For percentiles: the distance from 90 to 99 equals that from 99 to 99.9.
    case percentile
  }

  struct Series {
    var name: String
    var points: [(x: Double, y: Double)]
    var style: PlotStyle
    var hasMarkers = true
  }

  var title: String
  var subtitle: String
  var x: (label: String, scale: Scale, name: (Double) -> String)
  var y: (label: String, scale: Scale, name: (Double) -> String)
  var xTicks: [Double]
  var series: [Series]

  private var width: Double { 980 }
  private var height: Double { 540 }
  private var area: (left: Double, top: Double, right: Double, bottom: Double) { (84, 78, 690, 470) }

  private func place(_ value: Double, _ scale: Scale) -> Double {
    switch scale {
    case .linear: value
    case .logarithmic: log10(max(value, 1e-12))
    case .percentile: -log10(max(1 - value / 100, 1e-9))
    }
  }

  /// Round numbers that cover the values. The first and the last are outside of them.
  private var yTicks: [Double] {
    let values = series.flatMap { $0.points.map(\.y) }.filter { $0 > 0 }
    guard let lowest = values.min(), let highest = values.max() else { return [1, 10] }
    if y.scale == .linear {
      let rough = highest / 6
      let power = pow(10, floor(log10(rough)))
      let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? power * 10
      return Array(stride(from: 0, through: highest + step, by: step))
    }
    let decades = log10(highest / lowest)
    let factors: [Double] = decades > 3.5 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5]
    let all = (-3...9).flatMap { power in factors.map { $0 * pow(10, Double(power)) } }
    let first = all.lastIndex { $0 <= lowest } ?? 0
    let last = all.firstIndex { $0 >= highest } ?? all.count - 1
    return Array(all[first...last])
  }

  var svg: String {
    let ticks = yTicks
    let (xLow, xHigh) = (place(xTicks.first ?? 0, x.scale), place(xTicks.last ?? 1, x.scale))
    let (yLow, yHigh) = (place(ticks.first ?? 0, y.scale), place(ticks.last ?? 1, y.scale))
    func across(_ value: Double) -> Double {
      area.left + (place(value, x.scale) - xLow) / (xHigh - xLow) * (area.right - area.left)
    }
    func up(_ value: Double) -> Double {
      area.bottom - (place(value, y.scale) - yLow) / (yHigh - yLow) * (area.bottom - area.top)
    }

    var out = SVGText(width: width, height: height)
    out.text(area.left, 30, title, size: 18, weight: "600")
    out.text(area.left, 52, subtitle, size: 12, color: "#666")
    for tick in ticks {
      out.line(area.left, up(tick), area.right, up(tick), color: "#e4e4e4")
      out.text(area.left - 10, up(tick) + 4, y.name(tick), size: 12, anchor: "end", color: "#444")
    }
    for tick in xTicks {
      out.line(across(tick), area.top, across(tick), area.bottom, color: "#f0f0f0")
      out.line(across(tick), area.bottom, across(tick), area.bottom + 5, color: "#888")
      out.text(across(tick), area.bottom + 21, x.name(tick), size: 12, anchor: "middle", color: "#444")
    }
    out.line(area.left, area.bottom, area.right, area.bottom, color: "#888")
    out.line(area.left, area.top, area.left, area.bottom, color: "#888")
    out.text(
      (area.left + area.right) / 2, area.bottom + 48, x.label, size: 13, anchor: "middle", color: "#222")
    out.turned(24, (area.top + area.bottom) / 2, y.label, size: 13, color: "#222")
    for each in series {
      let points = each.points.map { (across($0.x), up($0.y)) }
      out.path(points, each.style)
      if each.hasMarkers { for point in points { out.dot(point.0, point.1, each.style.color) } }
    }
    // The legend has the order of the lines' ends, the highest on top.
    let ordered = series.sorted { ($0.points.last?.y ?? 0) > ($1.points.last?.y ?? 0) }
    for (index, each) in ordered.enumerated() {
      let top = area.top + 12 + Double(index) * 24
      out.path([(area.right + 24, top), (area.right + 52, top)], each.style)
      out.text(area.right + 60, top + 4, each.name, size: 12, color: "#222")
    }
    return out.finish()
  }
}

/// How a line is drawn.
struct PlotStyle {
  var color: String
  var dashes = ""

  /// The same contender looks the same in every plot: ours blue, the floor black.
  static func of(_ title: String) -> PlotStyle {
    switch title {
    case _ where title.hasPrefix("C "), _ where title.hasPrefix("C,"): PlotStyle(color: "#111111")
    case _ where title.hasPrefix("blocking, borrowed"): PlotStyle(color: "#0b3c8c")
    case _ where title.hasPrefix("blocking"): PlotStyle(color: "#1f6fd6")
    case _ where title.hasPrefix("async on the reactor, borrowed"): PlotStyle(color: "#0b3c8c", dashes: "7 4")
    case _ where title.hasPrefix("async on the reactor"): PlotStyle(color: "#1f9fd6", dashes: "7 4")
    case _ where title.hasPrefix("async, default"): PlotStyle(color: "#35b8b0", dashes: "2 4")
    case _ where title.hasPrefix("SwiftNIO"): PlotStyle(color: "#e4572e")
    case _ where title.hasPrefix("NIOAsync"): PlotStyle(color: "#f2a65a")
    case _ where title.hasPrefix("FlyingSocks"): PlotStyle(color: "#7a9e3b")
    case "Python multiprocessing": PlotStyle(color: "#8e5ea2")
    default: PlotStyle(color: "#c79ad6")
    }
  }
}
