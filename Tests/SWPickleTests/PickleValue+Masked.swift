import SWPickle

extension PickleValue {
  /// The object that NumPy pickles for an array with a mask, in which nothing is masked.
  static func maskedArray(_ numbers: [Double]) -> PickleValue {
    let array = NumPyArray(numbers)
    return .object(
      PickleName("numpy.ma.core", "_mareconstruct"),
      [
        .name(PickleName("numpy.ma.core", "MaskedArray")), .name(PickleName("numpy", "ndarray")), .tuple([0]),
        .bytes([0x62]),
      ],
      state: .tuple([
        1, .tuple([PickleValue(numbers.count)]), PickleValue(array.type), false, .bytes(array.bytes),
        .bytes([UInt8](repeating: 0, count: numbers.count)), .none,
      ]))
  }
}
