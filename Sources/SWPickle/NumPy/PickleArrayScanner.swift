/// Reads a pickle that is one NumPy array of plain numbers, as NumPy and this library write it in protocols 4 and 5.
///
/// Its forty opcodes never differ but for the type, the shape and the bytes. They are compared here, and no object is made
/// for any of them. ``PickleReader`` takes 55,000 instructions more. It reads every pickle that differs anywhere, and reports
/// what is wrong with it. The result is the same.
@safe
struct PickleArrayScanner {
  private let input: UnsafeBufferPointer<UInt8>
  private let end: Int
  private var position = 2
  private var memoCount = 0
  /// The memo entry of the str `numpy`, once it has been met.
  private var numpyEntry: Int?

  /// Another pickle.
  private struct Other: Error {}

  /// Whether the pickle begins like an array: PROTO, a version, FRAME and its length, and a short str that begins with n.
  @inline(__always)
  static func mayBeArray(_ input: UnsafeBufferPointer<UInt8>) -> Bool {
    unsafe input.count > 64 && input[0] == PickleOpcode.protocol.rawValue && 4...5 ~= input[1]
      && input[2] == PickleOpcode.frame.rawValue && input[11] == PickleOpcode.shortBinaryUnicode.rawValue
      && 18...22 ~= input[12] && input[13] == UInt8(ascii: "n")
  }

  /// - Returns: nil for a pickle that is left to ``PickleReader``.
  @inline(never)
  static func scan(
    _ input: UnsafeBufferPointer<UInt8>, _ registry: PickleRegistry, _ limits: PickleLimits
  ) -> NumPyArray? {
    // The limits are more than the reader needs, so it would not refuse the pickle either.
    guard unsafe mayBeArray(input), registry.readsArrays, limits.depth >= 8, limits.memoEntries >= 64,
      limits.elements >= 256,
      limits.memory / 4 >= input.count + 65_536
    else { return nil }
    var scanner = unsafe PickleArrayScanner(input: input)
    return try? scanner.array()
  }

  private init(input: UnsafeBufferPointer<UInt8>) {
    unsafe self.input = unsafe input
    end = input.count
  }

  private mutating func array() throws(Other) -> NumPyArray {
    let module = try text()
    let array: NumPyArray?
    if matches(module, "numpy._core.multiarray") || matches(module, "numpy.core.multiarray") {
      array = try reconstructed()
    } else if matches(module, "numpy._core.numeric") || matches(module, "numpy.core.numeric") {
      array = try fromBuffer()
    } else {
      throw Other()
    }
    guard let array else { throw Other() }
    return array
  }

  /// `_reconstruct(ndarray, (0,), b"b")` with the state `(1, shape, dtype, is in Fortran order, bytes)`.
  private mutating func reconstructed() throws(Other) -> NumPyArray? {
    try name("_reconstruct")
    try numpy()
    try name("ndarray")
    try expect(0)
    try make(.tuple1)
    let placeholder = try bytes()
    guard placeholder.count == 1, unsafe input[placeholder.lowerBound] == UInt8(ascii: "b") else {
      throw Other()
    }
    try make(.tuple3)
    try make(.reduce)
    try expect(.mark)
    try expect(1)
    let shape = try shape()
    let type = try type()
    let isColumnMajor = takes(.newTrue)
    if !isColumnMajor { try expect(.newFalse) }
    let elements = try bytes()
    try make(.tuple)
    try expect(.build)
    try expect(.stop)
    return made(shape, type, isColumnMajor ? .columnMajor : .rowMajor, elements)
  }

  /// `_frombuffer(bytearray, dtype, shape, order)`.
  private mutating func fromBuffer() throws(Other) -> NumPyArray? {
    try name("_frombuffer")
    try expect(.mark)
    let elements = try bytes()
    let type = try type()
    let shape = try shape()
    let order = try text()
    let isColumnMajor = matches(order, "F")
    guard isColumnMajor || matches(order, "C") else { throw Other() }
    try make(.tuple)
    try make(.reduce)
    try expect(.stop)
    return made(shape, type, isColumnMajor ? .columnMajor : .rowMajor, elements)
  }

  private func made(
    _ shape: [Int], _ type: NumPyType, _ order: NumPyArray.Order, _ elements: Range<Int>
  ) -> NumPyArray? {
    guard NumPyArray.byteCount(shape: shape, type: type) == elements.count else { return nil }
    return NumPyArray(
      shape: shape, type: type, order: order,
      bytes: unsafe Array(UnsafeBufferPointer(rebasing: input[elements])))
  }

  /// `dtype(code, False, True)` with the state `(3, byte order, None, None, None, -1, -1, 0)`.
  private mutating func type() throws(Other) -> NumPyType {
    try numpy()
    try name("dtype")
    let code = try text()
    try expect(.newFalse)
    try expect(.newTrue)
    try make(.tuple3)
    try make(.reduce)
    try expect(.mark)
    try expect(3)
    let mark = try text()
    for _ in 0..<3 { try expect(.none) }
    for number in [-1, -1, 0] { try expect(number) }
    try make(.tuple)
    try expect(.build)
    guard code.count <= 4, mark.count == 1,
      let type = NumPyType(code: string(code))?.with(orderMark: string(mark), unit: nil)
    else { throw Other() }
    switch type.kind {
    case .bool, .signed, .unsigned, .float, .complex: return type
    default: throw Other()
    }
  }

  private mutating func shape() throws(Other) -> [Int] {
    if takes(.emptyTuple) { return [] }
    var shape: [Int] = []
    let isMarked = takes(.mark)
    while shape.count <= 64 {
      if isMarked
        ? takes(.tuple)
        : shape.count == 1 && takes(.tuple1) || shape.count == 2 && takes(.tuple2)
          || shape.count == 3 && takes(.tuple3)
      {
        memoize()
        return shape
      }
      shape.append(try int())
    }
    throw Other()
  }

  // MARK: Opcodes

  /// Moves past an opcode, and the frames in front of it, if it is this one.
  private mutating func takes(_ opcode: PickleOpcode) -> Bool {
    var place = position
    while place < end, unsafe input[place] == PickleOpcode.frame.rawValue {
      guard end - place > 8 else { return false }
      let length = number(place + 1, byteCount: 8)
      place += 9
      if length > end - place { return false }
    }
    guard place < end, unsafe input[place] == opcode.rawValue else { return false }
    position = place + 1
    return true
  }

  private mutating func expect(_ opcode: PickleOpcode) throws(Other) {
    if !takes(opcode) { throw Other() }
  }

  private mutating func memoize() { if takes(.memoize) { memoCount += 1 } }

  /// An opcode whose result may be memoized.
  private mutating func make(_ opcode: PickleOpcode) throws(Other) {
    try expect(opcode)
    memoize()
  }

  /// A number of at most eight bytes, which exist.
  private func number(_ place: Int, byteCount: Int) -> UInt64 {
    var number: UInt64 = 0
    for index in (place..<(place + byteCount)).reversed() {
      number = unsafe number << 8 | UInt64(input[index])
    }
    return number
  }

  private mutating func argument(byteCount: Int) throws(Other) -> UInt64 {
    guard end - position >= byteCount else { throw Other() }
    position += byteCount
    return number(position - byteCount, byteCount: byteCount)
  }

  private mutating func int() throws(Other) -> Int {
    if takes(.binaryInt1) { return Int(try argument(byteCount: 1)) }
    if takes(.binaryInt2) { return Int(try argument(byteCount: 2)) }
    try expect(.binaryInt)
    return Int(Int32(truncatingIfNeeded: try argument(byteCount: 4)))
  }

  private mutating func expect(_ value: Int) throws(Other) {
    if try int() != value { throw Other() }
  }

  /// The bytes after an opcode, whose length has this many bytes.
  private mutating func content(_ byteCount: Int) throws(Other) -> Range<Int> {
    let length = try argument(byteCount: byteCount)
    guard length <= UInt64(end - position) else { throw Other() }
    let range = position..<(position + Int(length))
    position = range.upperBound
    memoize()
    return range
  }

  private mutating func text() throws(Other) -> Range<Int> {
    try expect(.shortBinaryUnicode)
    return try content(1)
  }

  private mutating func bytes() throws(Other) -> Range<Int> {
    if takes(.shortBinaryBytes) { return try content(1) }
    if takes(.binaryBytes) { return try content(4) }
    if takes(.binaryBytes8) || takes(.byteArray8) { return try content(8) }
    throw Other()
  }

  private func matches(_ range: Range<Int>, _ text: StaticString) -> Bool {
    guard range.count == text.utf8CodeUnitCount else { return false }
    return unsafe haveSameBytes(
      UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(input)[range]),
      UnsafeRawBufferPointer(start: text.utf8Start, count: range.count))
  }

  private func string(_ range: Range<Int>) -> String {
    unsafe String(decoding: UnsafeBufferPointer(rebasing: input[range]), as: UTF8.self)
  }

  /// The str `numpy`, which is written once.
  private mutating func numpy() throws(Other) {
    if takes(.binaryGet) {
      guard let numpyEntry, try argument(byteCount: 1) == numpyEntry else { throw Other() }
      return
    }
    let entry = memoCount
    guard matches(try text(), "numpy") else { throw Other() }
    if memoCount > entry { numpyEntry = entry }
  }

  /// A name, behind its module: the class or function.
  private mutating func name(_ expected: StaticString) throws(Other) {
    guard matches(try text(), expected) else { throw Other() }
    try make(.stackGlobal)
  }
}
