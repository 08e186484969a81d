/// How numbers convert when they are decoded. The decoders of this package follow the same rules:
///
/// | from | to | |
/// |---|---|---|
/// | integer | integer type | exact, or an error |
/// | integer | `Double`, `Float`, `Float16` | exact, or an error |
/// | floating point | integer type | exact (`3.0` is 3), or an error |
/// | floating point | `Double`, `Float`, `Float16` | the nearest, rounded once; a finite one that becomes infinite is an error |
/// | any number | `Decimal` | exact for integers and text, the shortest text of a floating point one; else an error |
///
/// Infinities and NaN stay what they are in `Double` and `Float`. No rule traps.
package enum CodingNumbers {
  /// The nearest number of single precision. Nil if a finite number would become infinite.
  @inlinable
  package static func nearestFloat(_ double: Double) -> Float? {
    let float = Float(double)
    return float.isInfinite && double.isFinite ? nil : float
  }

  /// The nearest number of another type. Nil if a finite number would become infinite.
  @inlinable
  package static func nearest<F: BinaryFloatingPoint>(_ double: Double, as type: F.Type) -> F? {
    let nearest = F(double)
    return nearest.isInfinite && double.isFinite ? nil : nearest
  }

  /// The integer as a number of double precision. Nil if it has no exact value.
  @inlinable
  package static func exactDouble(_ integer: some FixedWidthInteger) -> Double? { Double(exactly: integer) }

  /// The number as an integer. Nil if it is none, such as 0.5, an infinity or NaN.
  @inlinable
  package static func exactInteger<I: FixedWidthInteger>(_ double: Double, as type: I.Type) -> I? {
    I(exactly: double)
  }
}
