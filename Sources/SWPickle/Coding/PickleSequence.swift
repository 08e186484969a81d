/// The source of a sequence's elements.
enum PickleSequence {
  case elements(PickleElements)
  case view(PickleArrayView)
  case range(start: Int, step: Int, count: Int)

  var count: Int {
    switch self {
    case .elements(let elements): elements.count
    case .view(let view): view.count
    case .range(_, _, let count): count
    }
  }

  subscript(index: Int) -> PickleDecoding.Source {
    switch self {
    case .elements(let elements): .value(elements[index])
    case .view(let view): view[index]
    case .range(let start, let step, _): .value(PickleValue(start + index * step))
    }
  }
}

/// An array of several dimensions, or a part of it along the first dimension.
struct PickleArrayView {
  private enum Base {
    case numbers(NumPyArray)
    case masked(NumPyArray, [Bool])
    case objects(PickleElements)
  }

  private let base: Base
  private let shape: [Int]
  private let strides: [Int]
  private var dimension = 0
  private var offset = 0

  init(_ array: NumPyArray) {
    base = .numbers(array)
    (shape, strides) = (array.shape, array.strides)
  }

  init(_ array: NumPyArray, mask: [Bool]) {
    base = .masked(array, mask)
    (shape, strides) = (array.shape, array.strides)
  }

  /// - Parameter elements: in row-major order.
  init(shape: [Int], elements: PickleElements) {
    base = .objects(elements)
    self.shape = shape
    strides = NumPyArray.strides(shape, .rowMajor)
  }

  var count: Int { shape[dimension] }

  subscript(index: Int) -> PickleDecoding.Source {
    let place = offset + index * strides[dimension]
    if dimension + 1 < shape.count {
      var part = self
      part.dimension += 1
      part.offset = place
      return .view(part)
    }
    switch base {
    case .numbers(let array): return .value(array.element(at: place))
    case .masked(let array, let mask): return .value(mask[place] ? .none : array.element(at: place))
    case .objects(let elements): return .value(elements[place])
    }
  }

  /// Charges an element before it is made. An element that is a record is a dict of all its fields, which may overlap, so
  /// the bytes of the array do not bound the work.
  func chargeElement(to session: PickleDecodingSession, at path: @autoclosure () -> [any CodingKey]) throws {
    guard dimension + 1 == shape.count, let type = elementType else {
      return try session.charge(1, at: path())
    }
    try session.charge(type.valueCost, at: path())
    try session.charge(copied: type.valueByteCount, at: path())
  }

  /// Whether no element is nil: parts of an array, and records that no mask hides.
  var hasNoNil: Bool {
    if dimension + 1 < shape.count { return true }
    if case .numbers(let array) = base { return array.type.kind == .record }
    return false
  }

  private var elementType: NumPyType? {
    switch base {
    case .numbers(let array), .masked(let array, _): array.type
    case .objects: nil
    }
  }

  /// The numbers of the last dimension, if they are contiguous and have exactly that type.
  func contiguous<Element: PickleSimple>(as type: Element.Type) -> [Element]? {
    guard dimension == shape.count - 1, strides[dimension] == 1, case .numbers(let array) = base,
      array.type == Element.elementType
    else { return nil }
    return array.copy(as: type, offset..<(offset + shape[dimension]))
  }
}

extension NumPyArray {
  /// The element as a value. A time that Python cannot represent stays an array, which knows its unit, and so does a number
  /// that Swift has no type for: its bytes are no sequence of numbers.
  fileprivate func element(at index: Int) -> PickleValue {
    let value = value(at: index)
    let isTime = (type.kind == .date || type.kind == .timeDelta) && value.integer != nil
    guard isTime || isOpaque else { return value }
    let start = index * type.byteCount
    return NumPyArray(scalar: type, bytes: Array(bytes[start..<(start + type.byteCount)]))
      .map { PickleValue($0) } ?? value
  }

  /// Copies elements whose type is that of the array.
  func copy<Element: PickleSimple>(as type: Element.Type, _ range: Range<Int>? = nil) -> [Element] {
    let range = range ?? 0..<count
    let size = MemoryLayout<Element>.stride
    precondition(self.type.byteCount == size, "elements are copied as they are")
    return unsafe bytes.withUnsafeBytes { raw in
      unsafe [Element](unsafeUninitializedCapacity: range.count) { target, initialized in
        // Invariant: the type is a plain number type, for which all bit patterns are valid, and the bytes exist.
        let part = unsafe UnsafeRawBufferPointer(
          rebasing: raw[(range.lowerBound * size)..<(range.upperBound * size)])
        unsafe UnsafeMutableRawBufferPointer(target).copyMemory(from: part)
        initialized = range.count
      }
    }
  }
}

extension PickleObject {
  /// The simple value that an object stands for.
  var scalar: PickleValue? {
    if isTime { return nil }
    let name = name?.canonical
    if let name {
      if name == PickleName("builtins", "getattr"), arguments.count == 2 { return arguments[1] }
      if let path { return PickleValue(path) }
      if name == PickleName("fractions", "Fraction") { return fraction?.integer.map { PickleValue($0) } }
      // In protocols 0 and 1 it has no arguments.
      if name == PickleName("collections", "UserString"), let data = self["data"] { return data }
    }
    if name == nil, case .object(let function) = callee.content,
      function.name == PickleName("builtins", "getattr")
    {
      return nil
    }
    if let root { return root }
    guard arguments.count == 1, appended.isEmpty, items.isEmpty else { return nil }
    return arguments[0]
  }

  /// The parts that an object has beside its arguments, in words, if the object is not the one or the other: the attributes of an
  /// exception, for example. Nil for an object of which nothing is lost if it decodes as its arguments or as its attributes.
  ///
  /// The arguments of `__new__` are the value of a subclass of a type of Python's, such as str, and its attributes are left out.
  /// The arguments of a class with elements or items, such as a deque's length, are left out, too.
  var partsBesideArguments: String? {
    if let keywords = keywordArguments, keywords.pairs?.isEmpty != true { return "keyword arguments" }
    if case .object(let function) = callee.content, function.isPartial {
      return "those of a partial function"
    }
    guard !isNew, !arguments.isEmpty, appended.isEmpty, items.isEmpty, let state, !state.isNone else {
      return nil
    }
    if let attributes { return attributes.allSatisfy(\.isEmpty) ? nil : "attributes" }
    return objectArray == nil && maskedArray == nil ? "a state" : nil
  }

  private var isPartial: Bool {
    name == PickleName("functools", "partial") || name == PickleName("_functools", "partial")
  }

  /// The parts of a fraction; nil for other objects. They are in one text, or apart.
  var fraction: PickleFraction? {
    guard name?.canonical == PickleName("fractions", "Fraction") else { return nil }
    var parts = arguments.map { $0 }
    if parts.count == 1, let text = parts[0].text {
      // To convert longer ones takes time with the square of their length.
      guard text.utf8.count < 640 else { return nil }
      parts = text.split(separator: "/").compactMap { PickleInt(String($0)) }.map { PickleValue($0) }
    }
    guard 1...2 ~= parts.count, let numerator = parts[0].bigInteger else { return nil }
    guard parts.count == 2 else { return PickleFraction(numerator, 1) }
    return parts[1].bigInteger.flatMap { PickleFraction(numerator, $0) }
  }

  /// The entries of an object that is a kind of dict.
  var entries: PicklePairs? {
    if !items.isEmpty { return items }
    switch name?.canonical {
    case PickleName("collections", "Counter"): return arguments.first?.pairs ?? items
    case PickleName("collections", "defaultdict"): return items
    case PickleName("types", "MappingProxyType"): return arguments.first?.pairs
    default:
      // A subclass of dict in protocols 0 and 1, or a class that is called with a dict.
      return !isNew && state == nil && arguments.count == 1 ? arguments[0].pairs : nil
    }
  }

  /// Whether the class's `__new__` alone makes the object: one without attributes, or an empty one of a subclass of dict or
  /// list, which a pickle does not tell apart.
  var isEmpty: Bool {
    isNew && base == nil && arguments.isEmpty && keywordArguments == nil && state == nil && appended.isEmpty
      && items.isEmpty
  }

  /// The dict or list in a `UserDict` or `UserList`.
  var wrapped: PickleValue? {
    switch name?.canonical {
    case PickleName("collections", "UserDict"), PickleName("collections", "UserList"): self["data"]
    default: nil
    }
  }

  /// The attributes as one dict. Nil for those of a class with slots and a dict, which are in two.
  var onlyAttributes: PicklePairs? {
    guard unnamedCount == 0, let attributes else { return nil }
    if case .tuple = state?.content, attributes.count == 2 { return nil }
    // Of pydantic's, the last is the state itself.
    let parts = attributes.count > 1 ? attributes.dropLast() : attributes[...]
    guard parts.count > 1, let first = parts.first, parts.allSatisfy({ $0.graph === first.graph }) else {
      return attributes.first
    }
    return PicklePairs(parts.flatMap(\.slots), in: first.graph)
  }

  /// The root of a `RootModel` of pydantic, and if that is one, too, the root of it.
  var root: PickleValue? {
    var found = ownRoot
    for _ in 0..<8 {
      guard let root = found, case .object(let object) = root.content, let next = object.ownRoot else {
        return found
      }
      found = .some(next)
    }
    // A model may contain itself.
    return nil
  }

  /// The value of a model of pydantic that has no other attribute.
  private var ownRoot: PickleValue? {
    // The state has four entries at most, and is searched each time.
    guard arguments.isEmpty, let state = state?.pairs, state.count <= 8, let inner = state["__dict__"]?.pairs,
      inner.count == 1,
      state["__pydantic_fields_set__"] != nil
    else { return nil }
    return inner["root"]
  }

  /// How many values the class's `__new__` takes without names, for an object that has attributes, too. The arguments of
  /// a class that is called, such as an exception, are no values of it.
  var unnamedCount: Int {
    guard isNew, !arguments.isEmpty, let attributes, attributes.contains(where: { !$0.isEmpty }) else {
      return 0
    }
    return base == nil ? arguments.count : arguments.first?.elements?.count ?? 1
  }

  /// The elements of an object that is a kind of sequence. If the object has no state, or names its attributes, its arguments.
  var sequence: PickleSequence? {
    switch name?.canonical {
    // The argument of a defaultdict is a function.
    case PickleName("collections", "defaultdict"), PickleName("collections", "Counter"),
      PickleName("types", "MappingProxyType"), PickleName("fractions", "Fraction"):
      return nil
    case PickleName("collections", "deque"): return .elements(appended)
    case PickleName("builtins", "range"): return range
    case PickleName("array", "_array_reconstructor"), PickleName("array", "array"):
      if let numbers = machineArray { return numbers }
    case PickleName("time", "struct_time"), PickleName("os", "stat_result"),
      PickleName("os", "terminal_size"):
      // The elements, and a dict of what the class has besides.
      if arguments.count == 2, let elements = arguments[0].elements { return .elements(elements) }
    default: break
    }
    if isTextWithSurrogates || isTime { return nil }
    if let (shape, elements) = objectArray, !shape.isEmpty {
      return .view(PickleArrayView(shape: shape, elements: elements))
    }
    if let (array, mask) = maskedArray, !array.shape.isEmpty {
      return .view(PickleArrayView(array, mask: mask))
    }
    if let elements = wrapped?.elements ?? root?.elements { return .elements(elements) }
    if !appended.isEmpty { return .elements(appended) }
    // A subclass of dict.
    if !items.isEmpty { return nil }
    if node.base != nil, let elements = arguments.first?.elements { return .elements(elements) }
    if arguments.isEmpty, let values = stateValues { return .elements(values) }
    if let attributes {
      if arguments.isEmpty { return nil }
      // Before Python 3.11, a subclass of set has a dict of attributes even if it has none.
      if attributes.contains(where: { $0.count > 0 }) { return .elements(arguments) }
    } else if state != nil {
      // A state without names may say more than the arguments, as that of an array does.
      return nil
    }
    // A subclass of set, which is called with the list of its elements.
    if !isNew, arguments.count == 1, let elements = arguments[0].elements { return .elements(elements) }
    return .elements(arguments)
  }

  private var range: PickleSequence? {
    guard arguments.count == 3, let start = arguments[0].integer, let stop = arguments[1].integer,
      let step = arguments[2].integer, step != 0
    else { return nil }
    let (distance, isTooFar) = stop.subtractingReportingOverflow(start)
    if isTooFar { return nil }
    if distance == 0 || (distance < 0) != (step < 0) { return .range(start: start, step: step, count: 0) }
    let count = (distance.magnitude - 1) / step.magnitude + 1
    return Int(exactly: count).map { .range(start: start, step: step, count: $0) }
  }

  /// The bytes of an `array.array` of unsigned bytes.
  var machineBytes: [UInt8]? {
    guard name?.canonical == PickleName("array", "_array_reconstructor"), arguments.count == 4,
      arguments[2].integer == 0
    else { return nil }
    return arguments[3].bytes
  }

  /// The elements of an `array.array` of unsigned bytes in protocols 0 to 2, which have a list of ints.
  var machineByteElements: PickleElements? {
    guard name?.canonical == PickleName("array", "array"), arguments.count == 2,
      arguments[0].text.map({ PickleText($0) }) == PickleText("B")
    else { return nil }
    return arguments[1].elements
  }

  /// The tuple or bytes of an object whose class may be a subclass of that type. It may also be a namedtuple with this one field.
  var onlyContainer: PickleValue? {
    guard isNew, base == nil, arguments.count == 1, keywordArguments == nil, appended.isEmpty, items.isEmpty
    else { return nil }
    switch arguments[0].content {
    case .tuple, .bytes: return arguments[0]
    default: return nil
    }
  }

  /// The text of an `array.array` of characters; nil for other arrays and for lone surrogates.
  private static func text(of bytes: [UInt8], _ code: Int) -> String? {
    func units<Unit: FixedWidthInteger>(_ type: Unit.Type, isBigEndian: Bool) -> [Unit]? {
      let size = MemoryLayout<Unit>.size
      guard bytes.count.isMultiple(of: size) else { return nil }
      return stride(from: 0, to: bytes.count, by: size).map { start in
        (0..<size).reduce(0) { unit, place in
          unit << 8 | Unit(bytes[start + (isBigEndian ? place : size - 1 - place)])
        }
      }
    }
    switch code {
    case 18, 19:
      return units(UInt16.self, isBigEndian: code == 19).flatMap { String(validating: $0, as: UTF16.self) }
    case 20, 21:
      return units(UInt32.self, isBigEndian: code == 21).flatMap { String(validating: $0, as: UTF32.self) }
    default: return nil
    }
  }

  /// An `array.array`: `_array_reconstructor(class, letter, format of the machine, bytes)`, or `array(letter, list)`.
  private var machineArray: PickleSequence? {
    if arguments.count == 2, let elements = arguments[1].elements { return .elements(elements) }
    guard arguments.count == 4, let code = arguments[2].integer, let bytes = arguments[3].bytes else {
      return nil
    }
    // Source: CPython, `Modules/arraymodule.c`, `enum machine_format_code`.
    let types: [(NumPyType.Kind, Int, Bool)] = [
      (.unsigned, 1, false), (.signed, 1, false), (.unsigned, 2, false), (.unsigned, 2, true),
      (.signed, 2, false),
      (.signed, 2, true), (.unsigned, 4, false), (.unsigned, 4, true), (.signed, 4, false),
      (.signed, 4, true),
      (.unsigned, 8, false), (.unsigned, 8, true), (.signed, 8, false), (.signed, 8, true),
      (.float, 4, false),
      (.float, 4, true), (.float, 8, false), (.float, 8, true),
    ]
    if let text = Self.text(of: bytes, code) {
      return PickleValue.list(text.unicodeScalars.map { PickleValue(String($0)) }).elements.map {
        .elements($0)
      }
    }
    guard types.indices.contains(code),
      let type = NumPyType(types[code].0, byteCount: types[code].1, isBigEndian: types[code].2),
      bytes.count.isMultiple(of: type.byteCount),
      let array = NumPyArray(shape: [bytes.count / type.byteCount], type: type, bytes: bytes)
    else { return nil }
    return .view(PickleArrayView(array))
  }
}

extension PickleValue {
  /// The root of a `RootModel` of pydantic; nil for other values.
  var root: PickleValue? {
    if case .object(let object) = content { return object.root }
    return nil
  }

  /// Whether an optional type reads it as nil: None, NumPy's constant for an element that is masked, pandas' `NA`, and the time
  /// that NumPy or pandas has in place of a missing one.
  var isNil: Bool {
    switch content {
    case .name(let name):
      name == PickleName("pandas", "NA") || name == PickleName("pandas._libs.missing", "NA")
    case .object(let object):
      object.name == PickleName("numpy.ma.core", "MaskedConstant") || object.isPandasNaT
    case .array(let array): array.isNotATime
    default: isNone
    }
  }
}
