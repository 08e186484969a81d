/// A pickle of plain values as tokens of one size: None, bools, ints, floats, strs, bytes, lists, tuples and dicts. Nearly
/// all messages between unrelated programs consist of these.
///
/// ``PickleDecoder`` decodes directly from it. Strs and bytes stay in the pickle until a type asks for them. The elements of
/// each container are contiguous in one array of all tokens: 16 bytes for each, without an object or a reference count.
/// Reading into a ``PickleGraph`` first took four times as long.
///
/// A tape has the same content that ``PickleReader`` would read, or there is no tape: if the scanner does not know an opcode
/// or finds an error, that reader reads the pickle from the start and reports what is wrong.
@safe
struct PickleTape {
  private let tokenBuffer: PickleBuffer<PickleToken>
  private let runBuffer: PickleBuffer<PickleRun>
  /// The first memory of both buffers.
  private let memory: UnsafeMutableRawPointer
  /// The pickle.
  private(set) var input: UnsafePointer<UInt8>
  private(set) var inputCount: Int
  /// The number of bytes in bytes objects, each of which may decode as a number.
  let dataCount: Int
  private var ownInput: UnsafeMutablePointer<UInt8>?

  init(
    _ memory: UnsafeMutableRawPointer, _ tokens: PickleBuffer<PickleToken>, _ runs: PickleBuffer<PickleRun>,
    _ input: UnsafeBufferPointer<UInt8>, dataCount: Int
  ) {
    guard let start = input.baseAddress else { preconditionFailure("a pickle has a byte") }
    unsafe self.memory = unsafe memory
    (tokenBuffer, runBuffer) = (tokens, runs)
    unsafe self.input = unsafe start
    inputCount = input.count
    self.dataCount = dataCount
    unsafe ownInput = nil
  }

  /// The elements of all containers, and then the whole value. The keys and values of a dict alternate.
  @inline(__always)
  var tokens: UnsafeMutablePointer<PickleToken> { unsafe tokenBuffer.memory }
  @inline(__always)
  var runs: UnsafeMutablePointer<PickleRun> { unsafe runBuffer.memory }
  /// The position of the whole value.
  var root: Int { tokenBuffer.count - 1 }
  /// The number of containers and elements.
  var weight: Int { tokenBuffer.count + runBuffer.count }

  /// Copies the pickle, for decoders that outlive the decoding.
  mutating func keepInput() {
    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: inputCount)
    unsafe copy.update(from: input, count: inputCount)
    unsafe input = unsafe UnsafePointer(copy)
    unsafe ownInput = unsafe copy
  }

  func free() {
    tokenBuffer.free()
    runBuffer.free()
    unsafe memory.deallocate()
    if let ownInput = unsafe ownInput { unsafe ownInput.deallocate() }
  }

  func bytes(_ token: PickleToken) -> UnsafeBufferPointer<UInt8> {
    unsafe UnsafeBufferPointer(start: input + token.value, count: Int(token.count))
  }

  /// The text of a str, which the scanner has checked.
  @inline(__always)
  func text(_ token: PickleToken) -> String {
    // Invariant: the scanner has checked that the bytes are UTF-8, and ASCII if the token says so. A second check would take
    // half of the time that makes the string.
    unsafe String(copying: UTF8Span(unchecked: bytes(token).span, isKnownASCII: token.isASCII))
  }
}

/// A value: its kind, and the value itself or its position.
struct PickleToken {
  enum Kind: UInt8 {
    case none, `false`, `true`
    /// `value` is the number, or the number's bits.
    case int, float
    /// `value` is the offset in the pickle, `count` the number of bytes. `wide` is an int beyond 64 bits.
    case text, bytes, wide
    /// `value` is the number of the run.
    case list, tuple, dict
  }

  var kind: Kind
  /// Whether a str is ASCII.
  var isASCII: Bool
  var count: UInt32
  var value: Int

  @inline(__always)
  init(_ kind: Kind, _ value: Int = 0, count: Int = 0, isASCII: Bool = false) {
    self.kind = kind
    self.isASCII = isASCII
    self.count = UInt32(truncatingIfNeeded: count)
    self.value = value
  }

  @inline(__always)
  var double: Double { Double(bitPattern: UInt64(bitPattern: Int64(value))) }

  var isContainer: Bool { kind.rawValue >= Kind.list.rawValue }
}

/// The position of a container's elements among the tokens.
struct PickleRun {
  var start: Int32 = 0
  var count: Int32 = 0
  /// The number of elements for which there is room.
  var capacity: Int32 = 0
  /// The depth of the container. A container without inner containers has depth 0.
  var depth: Int32 = 0
}

/// Values in plain memory that grows. The first memory belongs to another owner.
@safe
struct PickleBuffer<Element: BitwiseCopyable> {
  private(set) var memory: UnsafeMutablePointer<Element>
  var count = 0
  private(set) var capacity: Int
  private var isOwn = false

  init(_ memory: UnsafeMutableRawPointer, capacity: Int) {
    unsafe self.memory = unsafe memory.assumingMemoryBound(to: Element.self)
    self.capacity = capacity
  }

  @inline(__always)
  subscript(index: Int) -> Element {
    get { unsafe memory[index] }
    nonmutating set { unsafe memory[index] = newValue }
  }

  /// The number of bytes that growing by `count` elements would take.
  func growth(for count: Int) -> Int {
    max(2 * capacity, self.count + count) * MemoryLayout<Element>.stride
  }

  mutating func grow(for count: Int) {
    let larger = UnsafeMutablePointer<Element>.allocate(capacity: max(2 * capacity, self.count + count))
    unsafe larger.update(from: memory, count: self.count)
    free()
    unsafe memory = unsafe larger
    capacity = max(2 * capacity, self.count + count)
    isOwn = true
  }

  func free() { if isOwn { unsafe memory.deallocate() } }
}
