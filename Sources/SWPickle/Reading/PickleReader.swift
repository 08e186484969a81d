/// Reads a pickle: the machine that the opcodes control. It has a stack and a memo, and nothing that it could run.
///
/// It accepts what CPython's C unpickler accepts: data after STOP and surplus items on the stack are ignored, FRAME only
/// promises that this number of bytes follows, and a number of a PUT may be used again. Where Python would make a call,
/// `PickleReader+BuiltIns.swift` knows the few supported names.
///
/// - No opcode recurses. Its time is at most proportional to what it reads or takes off the stack.
/// - A length is accepted only if that many bytes exist.
/// - The memo is an array while it is filled in order, and sparse beyond that, so an index reserves nothing.
/// - `meter` counts memory before it is used.
struct PickleReader {
  let registry: PickleRegistry
  let limits: PickleLimits

  var arena = PickleArena()
  /// The depth of each object. An object without elements has depth 0.
  var depths: [Int32] = []
  var stack: [PickleSlot] = []
  var marks: [Int] = []
  var memo: [PickleSlot] = []
  var sparseMemo: [Int: PickleSlot] = [:]

  var keys = PickleKeys()
  /// The position of each key in a dict or set with more than `smallCount` keys.
  var places: [KeyOfObject: Int] = [:]
  struct KeyOfObject: Hashable {
    var object: Int
    var key: Int
  }
  static let smallCount = 8

  /// The objects of registered classes, and when each was used last.
  var objects: [Int: Int] = [:]
  var objectTime = 0
  /// The number of objects of standard classes that still wait for their state.
  var awaitingCount = 0
  /// The calls that made dtypes. If a state is not supported, the dtype becomes an object again.
  var origins: [Int: PickleObjectNode] = [:]
  /// The registry's answers for names, and for objects that stand for names, by index.
  var entries: [Int: Callee] = [:]
  struct Callee {
    var name: PickleName?
    var entry: PickleRegistry.Entry?
  }

  /// The lists, tuples and dicts in the order of their opcodes, if they are asked for.
  var containers: [Int]?

  /// The protocol that the pickle names; 0 if it names none.
  var version: UInt8 = 0
  var position = 0
  var opcodeOffset = 0
  /// The end of the REDUCE that was read last.
  var callEnd = -1
  var stackRoom = 0
  var markRoom = 0
  var meter: PickleMeter
  var elementCount = 0

  init(registry: PickleRegistry, limits: PickleLimits) {
    self.registry = registry
    self.limits = limits
    meter = PickleMeter(byteCount: 0, limits: limits)
  }

  /// Reads one pickle.
  ///
  /// - Returns: the value, and the number of bytes up to STOP.
  mutating func read(_ input: Span<UInt8>) throws -> (value: PickleValue, byteCount: Int) {
    meter = PickleMeter(byteCount: input.count, limits: limits)
    // Enough for a small message. Otherwise each array would grow four times.
    let few = min(input.count, 32)
    arena.nodes.reserveCapacity(few)
    depths.reserveCapacity(few)
    stack.reserveCapacity(few)
    memo.reserveCapacity(few)
    let root = try run(input)
    return (try finish(root), position)
  }

  mutating func run(_ input: Span<UInt8>) throws(PickleError) -> PickleSlot {
    while true {
      opcodeOffset = position
      guard position < input.count else {
        throw error(.truncated, "an opcode, and STOP at the end", "the end after \(position) bytes")
      }
      let byte = input[position]
      position += 1
      guard let opcode = PickleOpcode(rawValue: byte) else {
        throw error(.malformed, "an opcode", "byte 0x\(String(byte, radix: 16))")
      }
      if opcode == .stop { return try pop() }
      try execute(opcode, input)
    }
  }

  mutating func execute(_ opcode: PickleOpcode, _ input: Span<UInt8>) throws(PickleError) {
    switch opcode {
    case .stop: break
    case .protocol:
      let version = try byte(input)
      if version > 5 { throw error(.malformed, "protocol 0 to 5", "protocol \(version)") }
      self.version = version
    case .frame: _ = try length(input, byteCount: 8)

    case .none: try push(.none)
    case .newTrue: try push(.bool(true))
    case .newFalse: try push(.bool(false))
    case .binaryInt1: try push(.int(Int(byte(input))))
    case .binaryInt2: try push(.int(Int(number(input, byteCount: 2))))
    case .binaryInt: try push(.int(Int(Int32(truncatingIfNeeded: number(input, byteCount: 4)))))
    case .long1: try push(long(input, byteCount: Int(byte(input))))
    case .long4: try push(long(input, byteCount: length(input, byteCount: 4, isSigned: true)))
    case .int: try push(intLine(line(input)))
    case .long: try push(longLine(line(input)))
    case .float: try push(.float(floatLine(line(input))))
    case .binaryFloat:
      let range = try take(input, 8)
      var bits: UInt64 = 0
      for index in range { bits = bits << 8 | UInt64(input[index]) }
      try push(.float(Double(bitPattern: bits)))

    case .string: try pushPython2(stringLine(line(input)))
    case .unicode: try push(unicodeLine(line(input)))
    case .binaryString: try pushPython2(bytes(input, length(input, byteCount: 4, isSigned: true)))
    case .shortBinaryString: try pushPython2(bytes(input, length(input, byteCount: 1)))
    case .shortBinaryUnicode: try pushUTF8(input, length(input, byteCount: 1))
    case .binaryUnicode: try pushUTF8(input, length(input, byteCount: 4))
    case .binaryUnicode8: try pushUTF8(input, length(input, byteCount: 8))
    case .shortBinaryBytes: try push(new(.bytes(bytes(input, length(input, byteCount: 1)))))
    case .binaryBytes: try push(new(.bytes(bytes(input, length(input, byteCount: 4)))))
    case .binaryBytes8: try push(new(.bytes(bytes(input, length(input, byteCount: 8)))))
    case .byteArray8: try push(new(.byteArray(bytes(input, length(input, byteCount: 8)))))

    case .emptyTuple: try pushContainer(new(.tuple([])))
    case .tuple: try pushTuple(popToMark())
    case .tuple1: try pushTuple(pop(1))
    case .tuple2: try pushTuple(pop(2))
    case .tuple3: try pushTuple(pop(3))
    case .emptyList: try pushContainer(new(.list([])))
    case .list:
      let list = try new(.list([]))
      try append(popToMark(), to: list)
      try push(list)
    case .append:
      let element = try pop()
      try append([element], to: top())
    case .appends: try append(popToMark(), to: top())
    case .emptyDict: try pushContainer(new(.dict([])))
    case .dict:
      let dict = try new(.dict([]))
      try set(popToMark(), in: dict, "DICT")
      try push(dict)
    case .setItem:
      let pair = try pop(2)
      try set(pair, in: top(), "SETITEM")
    case .setItems: try set(popToMark(), in: top(), "SETITEMS")
    case .emptySet: try push(new(.set([])))
    case .addItems: try insert(popToMark(), into: top())
    case .frozenSet: try push(newSet(popToMark(), isFrozen: true))

    case .mark:
      if marks.count == markRoom {
        markRoom += 1024
        try charge(1024 * MemoryLayout<Int>.stride)
      }
      marks.append(stack.count)
    case .pop:
      // A mark is popped like an item.
      if let mark = marks.last, mark == stack.count {
        marks.removeLast()
      } else {
        let popped = try pop()
        if opcodeOffset == callEnd { try setState(popped) }
      }
    case .popMark: _ = try popToMark()
    case .duplicate: try push(top())

    case .put: try memoize(at: indexLine(line(input)))
    case .binaryPut: try memoize(at: Int(byte(input)))
    case .longBinaryPut: try memoize(at: Int(number(input, byteCount: 4)))
    case .memoize: try memoize(at: memo.count + sparseMemo.count)
    case .get: try push(memoized(at: indexLine(line(input))))
    case .binaryGet: try push(memoized(at: Int(byte(input))))
    case .longBinaryGet: try push(memoized(at: Int(number(input, byteCount: 4))))

    case .global:
      let module = try nameLine(line(input))
      try pushName(module, nameLine(line(input)))
    case .stackGlobal:
      let parts = try pop(2)
      guard let module = string(parts[0]), let name = string(parts[1]) else {
        throw error(.malformed, "two str for STACK_GLOBAL", "\(kind(parts[0])) and \(kind(parts[1]))")
      }
      try pushName(module, name)
    case .reduce:
      let parts = try pop(2)
      try push(call(parts[0], with: parts[1], keywords: nil, isNew: false))
      callEnd = position
    case .newObject:
      let parts = try pop(2)
      try push(call(parts[0], with: parts[1], keywords: nil, isNew: true))
    case .newObjectWithKeywords:
      let parts = try pop(3)
      try push(call(parts[0], with: parts[1], keywords: parts[2], isNew: true))
    case .instance:
      let module = try nameLine(line(input))
      let name = try newName(module, nameLine(line(input)))
      try push(call(name, popToMark(), keywords: nil, isNew: false))
    case .object:
      let parts = try popToMark()
      guard let first = parts.first else { throw underflow() }
      try push(call(first, Array(parts.dropFirst()), keywords: nil, isNew: false))
    case .build:
      let state = try pop()
      try build(top(), state)

    case .persistentID, .binaryPersistentID:
      throw error(.unsupported, "a value", "a persistent identifier, which only its pickler can resolve")
    case .extension1, .extension2, .extension4:
      let byteCount = opcode == .extension1 ? 1 : opcode == .extension2 ? 2 : 4
      let code = Int32(truncatingIfNeeded: try number(input, byteCount: byteCount))
      throw error(.unsupported, "a value", "code \(code) of the extension registry")
    case .nextBuffer:
      throw error(.unsupported, "a value", "a reference to an out-of-band buffer")
    case .readOnlyBuffer:
      guard case .node(let index) = try top(), case .bytes = arena.nodes[index] else {
        throw error(.unsupported, "bytes for READONLY_BUFFER", try kind(top()))
      }
    }
  }
}
