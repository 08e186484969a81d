// NumPy's arrays, scalars and dtypes.

extension PickleWriter {
  /// Writes an array as NumPy 1 does for every protocol; NumPy 2 can read that. A scalar that Python's own types cannot
  /// represent is written as an array scalar.
  mutating func save(_ array: NumPyArray, _ identity: PickleIdentity?) {
    if array.isScalar {
      reduce(
        "numpy.core.multiarray", "scalar", [.arrayType(array.type), .data(array.bytes)],
        identity)
      return
    }
    let shape = PickleValue.tuple(array.shape.map { PickleValue($0) })
    waiting += [.opcode(.build), .finishTuple(nil, count: 5), .data(array.bytes)]
    waiting += [
      .small(.bool(array.order == .columnMajor)), .arrayType(array.type), .value(shape),
      .small(.int(1)), .opcode(.mark), .boundary,
    ]
    reduce(
      "numpy.core.multiarray", "_reconstruct",
      [.name(PickleName("numpy", "ndarray")), .value(.tuple([0])), .data([UInt8(ascii: "b")])], identity)
  }

  /// Writes a dtype.
  ///
  /// - Parameter memoize: the step that numbers the dtype.
  mutating func saveArrayType(_ type: NumPyType, _ memoize: Step) {
    func number(_ value: Int) -> Step { .small(.int(value)) }
    let size =
      switch type.kind {
      case .text, .bytes, .raw, .record, .subarray: type.byteCount
      default: -1
      }
    let alignment =
      switch type.kind {
      case .text: 4
      case .bytes, .raw, .record, .subarray: 1
      default: -1
      }
    var flags = 0
    var version = 3
    var (subarray, names, fields) = (Step.small(.none), Step.small(.none), Step.small(.none))
    var unit: [Step] = []
    switch type.kind {
    case .text: flags = 8
    case .record:
      // For NumPy 1 the flags are a signed byte, and it refuses a larger number. NumPy 2 makes an equal type of it that does
      // not say that it is aligned.
      flags = 16 | (type.isAligned ? -128 : 0)
      names = .value(.tuple(type.fields.map { PickleValue($0.name) }))
      // A field that has a title is listed under that, too.
      fields = .value(
        .dict(
          type.fields.flatMap { field in
            let titles = field.title.map { [PickleValue($0)] } ?? []
            let entry = PickleValue.tuple([PickleValue(field.type), PickleValue(field.offset)] + titles)
            return ([PickleValue(field.name)] + titles).map { ($0, entry) }
          }))
    case .subarray:
      if let field = type.fields.first {
        subarray = .value(.tuple([PickleValue(field.type), .tuple(field.shape.map { PickleValue($0) })]))
      }
    case .object: flags = 63
    case .date, .timeDelta:
      version = 4
      if let found = type.unit {
        let code = PickleValue.bytes(Array(found.code.utf8))
        unit = [.value(.tuple([[:], .tuple([code, PickleValue(found.count), 1, 1])]))]
      }
    default: break
    }
    waiting.append(.opcode(.build))
    waitForTuple(
      [
        number(version), .text(type.orderMark), subarray, names, fields, number(size), number(alignment),
        number(flags),
      ]
        + unit)
    waiting += [memoize, .opcode(.reduce)]
    waitForTuple([.text(type.code), .small(.bool(false)), .small(.bool(true))])
    save(PickleName("numpy", "dtype"))
  }
}
