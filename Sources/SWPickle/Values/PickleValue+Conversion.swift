// How much there is to look at when a value is converted into a Swift type, for the meter.

extension PickleGraph {
  /// The bytes that one part of an object counts as, beside its own.
  static var bytesPerPart: Int { 16 }

  /// The bytes of an object, those of the objects that it refers to apart.
  fileprivate func dataByteCount(_ slot: PickleSlot) -> Int {
    switch slot {
    case .node(let index): nodes[index].dataByteCount
    case .link(let link): links[link].graph.nodes[links[link].index].dataByteCount
    default: 0
    }
  }

  /// The bytes that a conversion of an object looks at. The conversion of an object of a class looks at its arguments
  /// and its state, whose parts may be texts and data, as in an array with a mask or in a path.
  fileprivate func conversionByteCount(_ index: Int) -> Int {
    // The digits of an int take time with the square of its length.
    if case .integer(let value) = nodes[index], value.byteCount <= PickleInt.longestDecimalByteCount {
      return value.byteCount + value.byteCount * value.byteCount / 64
    }
    if case .array(let array) = nodes[index], array.shape.isEmpty {
      return array.type.valueByteCount + Self.bytesPerPart * array.type.partCount
    }
    guard case .object(let object) = nodes[index] else { return nodes[index].dataByteCount }
    var count = 0
    func add(_ slots: [PickleSlot]) {
      count += Self.bytesPerPart * slots.count
      for slot in slots { count += dataByteCount(slot) }
    }
    add(object.arguments)
    for case .node(let index) in [object.state] {
      switch nodes[index] {
      case .tuple(let slots), .list(let slots): add(slots)
      case .dict(let slots): count += Self.bytesPerPart * slots.count
      default: count += nodes[index].dataByteCount
      }
    }
    // A short path is cheaper than the comparison of its name.
    guard count > 256, PickleObject(object, in: self).pathFlavor != nil else { return count }
    return count * Self.costOfPath
  }

  /// How often the bytes of a path are looked at: split into parts, joined, normalized, and joined once more.
  private static var costOfPath: Int { 8 }
}

extension PickleNode {
  /// The bytes of a text, of data or of a number.
  var dataByteCount: Int {
    switch self {
    case .string(let text): text.utf8.count
    case .bytes(let bytes), .byteArray(let bytes): bytes.count
    case .integer(let value): value.twosComplement.count
    case .decimal(let value): value.text.utf8.count
    case .array(let array): array.bytes.count
    default: 0
    }
  }
}

extension PickleValue {
  /// The bytes that a conversion of the value looks at.
  var conversionByteCount: Int {
    switch storage {
    case .node(let graph, let index): graph.conversionByteCount(index)
    case .string(let text): text.utf8.count
    default: 0
    }
  }
}
