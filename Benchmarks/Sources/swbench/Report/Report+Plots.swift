internal import Foundation

extension Report {
  /// Each plot that the results allow, by file name.
  var plots: [String: Plot] {
    var plots: [String: Plot] = [:]
    plots["latency.svg"] = latencyPlot
    plots["throughput.svg"] = throughputPlot
    plots["connections.svg"] = connectionsPlot
    return plots
  }

  private var subtitle: String {
    "\(date.formatted(.iso8601.year().month().day())), Linux \(kernel), \(processor), \(processorCount) cores"
  }

  private static let shown = [
    "C floor", "blocking, [UInt8]", "async on the reactor, [UInt8]", "async, default executor, [UInt8]",
    "SwiftNIO handlers", "NIOAsyncChannel", "FlyingSocks", "Python multiprocessing", "Python socketwrapper",
  ]

  private var latencyPlot: Plot? {
    guard let result = results.first(where: { $0.name == "round-trip/64B/socketpair" }) else { return nil }
    let series = Self.shown.compactMap { title -> Plot.Series? in
      guard let points = result.row(title)?.distribution else { return nil }
      return Plot.Series(
        name: title, points: points.filter { $0[0] <= 99.9 }.map { ($0[0], $0[1] / 1000) },
        style: .of(title), hasMarkers: false)
    }
    guard !series.isEmpty else { return nil }
    return Plot(
      title: "Round trip of 64 bytes between two processes, Unix socket pair", subtitle: subtitle,
      x: ("percentile", .percentile, { $0 == $0.rounded() ? "\(Int($0))" : "\($0)" }),
      y: ("microseconds, logarithmic", .logarithmic, Self.number), xTicks: [0, 50, 90, 99, 99.9],
      series: series)
  }

  private var throughputPlot: Plot? {
    let results = results.filter { $0.name.hasPrefix("receive/") && !$0.name.contains("x100") }
    let titles = [
      "C floor", "blocking, borrowed", "blocking, [UInt8]", "async on the reactor, for try await",
      "SwiftNIO handlers", "NIOAsyncChannel", "FlyingSocks", "Python multiprocessing", "Python socketwrapper",
    ]
    let series = titles.compactMap { title -> Plot.Series? in
      let points = results.compactMap { result in
        result.row(title)?.figure.map {
          (Double(result.byteCount), Double(result.byteCount) * 1000 / $0.median)
        }
      }
      return points.count > 1 ? Plot.Series(name: title, points: points, style: .of(title)) : nil
    }
    guard !series.isEmpty else { return nil }
    return Plot(
      title: "Receiving from a C process that writes one message at a time", subtitle: subtitle,
      x: ("bytes a message, logarithmic", .logarithmic, { Int($0).bytesTitle }),
      y: ("MB/s, logarithmic", .logarithmic, Self.number), xTicks: results.map { Double($0.byteCount) },
      series: series)
  }

  private var connectionsPlot: Plot? {
    guard let result = results.first(where: { $0.name == "connections/busy" }) else { return nil }
    let series = ServerContender.Way.allCases.compactMap { way -> Plot.Series? in
      let points = Connections.counts.compactMap { count in
        result.row(ServerContender.title(way, count))?.figure.map { (Double(count), $0.median / 1000) }
      }
      return points.count > 1
        ? Plot.Series(name: way.rawValue, points: points, style: .of(way.rawValue)) : nil
    }
    guard !series.isEmpty else { return nil }
    return Plot(
      title: "Echoing 64-byte messages on many connections, one in flight on each", subtitle: subtitle,
      x: ("connections, logarithmic", .logarithmic, { "\(Int($0))" }),
      y: ("microseconds a message", .linear, Self.number), xTicks: Connections.counts.map(Double.init),
      series: series)
  }

  private static func number(_ value: Double) -> String {
    value == value.rounded() ? "\(Int(value))" : value.digits(value < 0.1 ? 2 : 1)
  }

  func writePlots(to directory: String) throws {
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    for (name, plot) in plots {
      try plot.svg.write(
        to: URL(filePath: directory).appending(path: name), atomically: true, encoding: .utf8)
    }
  }
}
