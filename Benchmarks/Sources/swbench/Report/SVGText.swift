/// The few elements of SVG that the plots are made of.
struct SVGText {
  private var lines: [String]

  init(width: Double, height: Double) {
    lines = [
      """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(width)) \(Int(height))" \
      width="\(Int(width))" height="\(Int(height))" \
      font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif">
      """,
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
    ]
  }

  mutating func text(
    _ x: Double, _ y: Double, _ text: String, size: Int, weight: String = "400", anchor: String = "start",
    color: String = "#111"
  ) {
    lines.append(
      """
      <text x="\(x.digits(1))" y="\(y.digits(1))" font-size="\(size)" font-weight="\(weight)" \
      text-anchor="\(anchor)" fill="\(color)">\(Self.escape(text))</text>
      """)
  }

  /// Text that reads upwards.
  mutating func turned(_ x: Double, _ y: Double, _ text: String, size: Int, color: String) {
    lines.append(
      """
      <text transform="translate(\(x.digits(1)) \(y.digits(1))) rotate(-90)" font-size="\(size)" \
      text-anchor="middle" fill="\(color)">\(Self.escape(text))</text>
      """)
  }

  mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, color: String) {
    lines.append(
      """
      <line x1="\(x1.digits(1))" y1="\(y1.digits(1))" x2="\(x2.digits(1))" y2="\(y2.digits(1))" \
      stroke="\(color)"/>
      """)
  }

  mutating func path(_ points: [(Double, Double)], _ style: PlotStyle) {
    let places = points.map { "\($0.0.digits(1)),\($0.1.digits(1))" }.joined(separator: " ")
    let dashes = style.dashes.isEmpty ? "" : " stroke-dasharray=\"\(style.dashes)\""
    lines.append(
      """
      <polyline points="\(places)" fill="none" stroke="\(style.color)" stroke-width="2" \
      stroke-linejoin="round"\(dashes)/>
      """)
  }

  mutating func dot(_ x: Double, _ y: Double, _ color: String) {
    lines.append("<circle cx=\"\(x.digits(1))\" cy=\"\(y.digits(1))\" r=\"3\" fill=\"\(color)\"/>")
  }

  consuming func finish() -> String { (lines + ["</svg>", ""]).joined(separator: "\n") }

  private static func escape(_ text: String) -> String {
    text.split(separator: "&", omittingEmptySubsequences: false).joined(separator: "&amp;")
      .split(separator: "<", omittingEmptySubsequences: false).joined(separator: "&lt;")
  }
}
