/// Reads a pickle into a tape.
@safe
struct PickleTapeScanner {
  private let input: UnsafePointer<UInt8>
  private let end: Int
  private let limits: PickleLimits
  private var meter: PickleMeter
  private var stack: PickleBuffer<PickleToken>
  private var marks: PickleBuffer<Int32>
  private var memo: PickleBuffer<PickleToken>
  private var tokens: PickleBuffer<PickleToken>
  private var runs: PickleBuffer<PickleRun>
  private var elementCount = 0
  private var dataCount = 0

  /// A pickle that this scanner leaves to ``PickleReader``.
  private struct Unknown: Error {}

  /// The sizes of each buffer's first memory: enough for small messages, so their scan takes one allocation.
  private static let (stackCapacity, markCapacity, memoCapacity) = (48, 16, 32)
  private static let (tokenCapacity, runCapacity) = (32, 8)

  /// - Returns: nil for a pickle that is left to ``PickleReader``.
  static func scan(_ input: UnsafeBufferPointer<UInt8>, _ limits: PickleLimits) -> PickleTape? {
    // Positions have 32 bits. A smaller pickle has fewer opcodes than that.
    guard unsafe input.baseAddress != nil, input.count < Int32.max else { return nil }
    let tokenSize = MemoryLayout<PickleToken>.stride
    let markOffset = (stackCapacity + memoCapacity) * tokenSize
    return unsafe withUnsafeTemporaryAllocation(
      byteCount: markOffset + markCapacity * MemoryLayout<Int32>.stride, alignment: 16
    ) { scratch in
      guard let start = scratch.baseAddress else { return nil }
      let memory = UnsafeMutableRawPointer.allocate(
        byteCount: tokenCapacity * tokenSize + runCapacity * MemoryLayout<PickleRun>.stride, alignment: 8)
      var scanner = unsafe PickleTapeScanner(
        input, limits, stack: start, memo: start + stackCapacity * tokenSize, marks: start + markOffset,
        tokens: memory, runs: memory + tokenCapacity * tokenSize)
      defer {
        scanner.stack.free()
        scanner.marks.free()
        scanner.memo.free()
      }
      do throws(Unknown) {
        let root = try scanner.run()
        try scanner.reserve(1)
        scanner.tokens[scanner.tokens.count] = root
        scanner.tokens.count += 1
        return unsafe PickleTape(
          memory, scanner.tokens, scanner.runs, input, dataCount: scanner.dataCount)
      } catch {
        scanner.tokens.free()
        scanner.runs.free()
        unsafe memory.deallocate()
        return nil
      }
    }
  }

  private init(
    _ input: UnsafeBufferPointer<UInt8>, _ limits: PickleLimits, stack: UnsafeMutableRawPointer,
    memo: UnsafeMutableRawPointer, marks: UnsafeMutableRawPointer, tokens: UnsafeMutableRawPointer,
    runs: UnsafeMutableRawPointer
  ) {
    guard let start = input.baseAddress else { preconditionFailure("a pickle has a byte") }
    unsafe self.input = unsafe start
    end = input.count
    self.limits = limits
    meter = PickleMeter(byteCount: input.count, limits: limits)
    self.stack = unsafe PickleBuffer(stack, capacity: Self.stackCapacity)
    self.memo = unsafe PickleBuffer(memo, capacity: Self.memoCapacity)
    self.marks = unsafe PickleBuffer(marks, capacity: Self.markCapacity)
    self.tokens = unsafe PickleBuffer(tokens, capacity: Self.tokenCapacity)
    self.runs = unsafe PickleBuffer(runs, capacity: Self.runCapacity)
  }

  // MARK: Memory

  private mutating func charge(_ byteCount: Int) throws(Unknown) {
    do throws(PickleMeter.Exceeded) { try meter.charge(memory: byteCount) } catch { throw Unknown() }
  }

  @inline(__always)
  private mutating func push(_ token: PickleToken) throws(Unknown) {
    if stack.count == stack.capacity { try growStack() }
    stack[stack.count] = token
    stack.count += 1
  }

  @inline(never)
  private mutating func growStack() throws(Unknown) {
    try charge(stack.growth(for: 1))
    stack.grow(for: 1)
  }

  /// Makes room for elements.
  @inline(__always)
  private mutating func reserve(_ count: Int) throws(Unknown) {
    if tokens.capacity - tokens.count < count { try growTokens(count) }
  }

  @inline(never)
  private mutating func growTokens(_ count: Int) throws(Unknown) {
    try charge(tokens.growth(for: count))
    tokens.grow(for: count)
  }

  @inline(__always)
  private mutating func memoize(_ index: Int) throws(Unknown) {
    guard stack.count > fence, index <= memo.count else { throw Unknown() }
    if index == memo.count {
      if memo.count == memo.capacity {
        guard memo.count < limits.memoEntries else { throw Unknown() }
        try charge(memo.growth(for: 1))
        memo.grow(for: 1)
      }
      memo.count += 1
    }
    memo[index] = stack[stack.count - 1]
  }

  @inline(__always)
  private mutating func get(_ index: Int) throws(Unknown) {
    guard index < memo.count else { throw Unknown() }
    try push(memo[index])
  }

  /// Items below the topmost mark cannot be reached.
  @inline(__always)
  private var fence: Int { marks.count == 0 ? 0 : Int(marks[marks.count - 1]) }

  // MARK: Containers

  @inline(__always)
  private mutating func pushContainer(_ kind: PickleToken.Kind) throws(Unknown) {
    if runs.count == runs.capacity {
      try charge(runs.growth(for: 1))
      runs.grow(for: 1)
    }
    runs[runs.count] = PickleRun()
    runs.count += 1
    try push(PickleToken(kind, runs.count - 1))
  }

  /// Moves the topmost `count` items into a container.
  @inline(__always)
  private mutating func move(_ count: Int, into run: Int) throws(Unknown) {
    elementCount += count
    if elementCount > limits.elements { throw Unknown() }
    var own = runs[run]
    let first = stack.count - count
    if own.count + Int32(count) > own.capacity {
      if Int(own.start) + Int(own.count) == tokens.count {
        // No other elements are behind it, so it grows in place.
        try reserve(count)
      } else if own.count == 0 {
        try reserve(count)
        own.start = Int32(tokens.count)
      } else {
        // It grows by doubling, at the end of all tokens.
        let capacity = 2 * (Int(own.count) + count)
        try reserve(capacity)
        unsafe (tokens.memory + tokens.count).update(
          from: tokens.memory + Int(own.start), count: Int(own.count))
        own.start = Int32(tokens.count)
        own.capacity = Int32(capacity)
        tokens.count += capacity
      }
      if own.capacity < own.count + Int32(count) {
        tokens.count += count
        own.capacity = own.count + Int32(count)
      }
    }
    unsafe (tokens.memory + Int(own.start + own.count)).update(from: stack.memory + first, count: count)
    for index in first..<stack.count where stack[index].isContainer {
      let child = stack[index].value
      if child != run { own.depth = max(own.depth, runs[child].depth + 1) }
    }
    guard Int(own.depth) < limits.depth, tokens.count < Int32.max else { throw Unknown() }
    own.count += Int32(count)
    runs[run] = own
    stack.count = first
  }

  @inline(__always)
  private mutating func pushTuple(_ count: Int) throws(Unknown) {
    guard stack.count - fence >= count else { throw Unknown() }
    if runs.count == runs.capacity {
      try charge(runs.growth(for: 1))
      runs.grow(for: 1)
    }
    // Counted as the reader counts: a tuple contains something.
    runs[runs.count] = PickleRun(depth: 1)
    runs.count += 1
    try move(count, into: runs.count - 1)
    try push(PickleToken(.tuple, runs.count - 1))
  }

  /// Removes the topmost mark, and returns the number of items above it.
  @inline(__always)
  private mutating func popMark() throws(Unknown) -> Int {
    guard marks.count > 0 else { throw Unknown() }
    marks.count -= 1
    return stack.count - Int(marks[marks.count])
  }

  /// The run of the container of a kind that is below `count` items.
  @inline(__always)
  private func target(_ kind: PickleToken.Kind, below count: Int) throws(Unknown) -> Int {
    guard stack.count - count > fence else { throw Unknown() }
    let token = stack[stack.count - count - 1]
    guard token.kind == kind else { throw Unknown() }
    return token.value
  }

  @inline(__always)
  private mutating func setItems(_ count: Int) throws(Unknown) {
    let run = try target(.dict, below: count)
    guard count.isMultiple(of: 2) else { throw Unknown() }
    // Keys of other kinds may be equal without being identical, so they are left to the reader.
    for index in stride(from: stack.count - count, to: stack.count, by: 2) {
      let kind = stack[index].kind
      guard kind == .text || kind == .int else { throw Unknown() }
    }
    try move(count, into: run)
  }

  // MARK: Opcodes

  @inline(__always)
  private func number<Number: FixedWidthInteger & BitwiseCopyable>(
    _ position: inout Int, _ type: Number.Type
  ) throws(Unknown) -> Number {
    guard end - position >= MemoryLayout<Number>.size else { throw Unknown() }
    let number = unsafe UnsafeRawPointer(input + position).loadUnaligned(as: Number.self)
    position += MemoryLayout<Number>.size
    return Number(littleEndian: number)
  }

  /// Reads a length. That many bytes must exist.
  @inline(__always)
  private func length<Number: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ position: inout Int, _ type: Number.Type
  ) throws(Unknown) -> Int {
    let length = try number(&position, type)
    guard length <= end - position else { throw Unknown() }
    return Int(length)
  }

  @inline(__always)
  private mutating func pushText(_ position: inout Int, _ count: Int) throws(Unknown) {
    let isASCII = isASCII(position, count)
    guard isASCII || isUTF8(position, count) else { throw Unknown() }
    try push(PickleToken(.text, position, count: count, isASCII: isASCII))
    position += count
  }

  /// Whether the bytes are ASCII, as most strs are. It examines eight bytes at a time.
  @inline(__always)
  private func isASCII(_ position: Int, _ count: Int) -> Bool {
    let bytes = unsafe UnsafeRawPointer(input + position)
    var (index, bits) = (0, UInt64(0))
    while count - index >= 8 {
      unsafe bits |= bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      index += 8
    }
    while index < count {
      bits |= UInt64(unsafe bytes.load(fromByteOffset: index, as: UInt8.self))
      index += 1
    }
    return bits & 0x8080_8080_8080_8080 == 0
  }

  @inline(never)
  private func isUTF8(_ position: Int, _ count: Int) -> Bool {
    let bytes = unsafe UnsafeBufferPointer(start: input + position, count: count)
    return unsafe (try? UTF8Span(validating: bytes.span)) != nil
  }

  @inline(__always)
  private mutating func pushBytes(_ position: inout Int, _ count: Int) throws(Unknown) {
    try push(PickleToken(.bytes, position, count: count))
    dataCount += count
    position += count
  }

  private mutating func run() throws(Unknown) -> PickleToken {
    var position = 0
    while position < end {
      let opcode = unsafe input[position]
      position += 1
      switch opcode {
      case PickleOpcode.memoize.rawValue: try memoize(memo.count)
      case PickleOpcode.binaryGet.rawValue: try get(Int(number(&position, UInt8.self)))
      case PickleOpcode.longBinaryGet.rawValue: try get(Int(number(&position, UInt32.self)))
      case PickleOpcode.shortBinaryUnicode.rawValue:
        try pushText(&position, length(&position, UInt8.self))
      case PickleOpcode.binaryUnicode.rawValue: try pushText(&position, length(&position, UInt32.self))
      case PickleOpcode.binaryInt1.rawValue: try push(PickleToken(.int, Int(number(&position, UInt8.self))))
      case PickleOpcode.binaryInt2.rawValue: try push(PickleToken(.int, Int(number(&position, UInt16.self))))
      case PickleOpcode.binaryInt.rawValue: try push(PickleToken(.int, Int(number(&position, Int32.self))))
      case PickleOpcode.binaryFloat.rawValue:
        try push(PickleToken(.float, Int(bitPattern: UInt(number(&position, UInt64.self).byteSwapped))))
      case PickleOpcode.none.rawValue: try push(PickleToken(.none))
      case PickleOpcode.newTrue.rawValue: try push(PickleToken(.true))
      case PickleOpcode.newFalse.rawValue: try push(PickleToken(.false))
      case PickleOpcode.mark.rawValue:
        if marks.count == marks.capacity {
          try charge(marks.growth(for: 1))
          marks.grow(for: 1)
        }
        marks[marks.count] = Int32(stack.count)
        marks.count += 1
      case PickleOpcode.emptyList.rawValue: try pushContainer(.list)
      case PickleOpcode.emptyDict.rawValue: try pushContainer(.dict)
      case PickleOpcode.emptyTuple.rawValue: try pushContainer(.tuple)
      case PickleOpcode.append.rawValue: try move(1, into: target(.list, below: 1))
      case PickleOpcode.appends.rawValue:
        let count = try popMark()
        try move(count, into: target(.list, below: count))
      case PickleOpcode.setItem.rawValue: try setItems(2)
      case PickleOpcode.setItems.rawValue: try setItems(popMark())
      case PickleOpcode.tuple.rawValue:
        // An empty tuple has another depth.
        let count = try popMark()
        try pushTuple(count)
      case PickleOpcode.tuple1.rawValue: try pushTuple(1)
      case PickleOpcode.tuple2.rawValue: try pushTuple(2)
      case PickleOpcode.tuple3.rawValue: try pushTuple(3)
      case PickleOpcode.long1.rawValue: try pushLong(&position, length(&position, UInt8.self))
      case PickleOpcode.shortBinaryBytes.rawValue:
        try pushBytes(&position, length(&position, UInt8.self))
      case PickleOpcode.binaryBytes.rawValue: try pushBytes(&position, length(&position, UInt32.self))
      case PickleOpcode.binaryPut.rawValue: try memoize(Int(number(&position, UInt8.self)))
      case PickleOpcode.longBinaryPut.rawValue: try memoize(Int(number(&position, UInt32.self)))
      case PickleOpcode.protocol.rawValue:
        guard try number(&position, UInt8.self) <= 5 else { throw Unknown() }
      case PickleOpcode.frame.rawValue: _ = try length(&position, UInt64.self)
      case PickleOpcode.stop.rawValue:
        guard stack.count > fence else { throw Unknown() }
        return stack[stack.count - 1]
      default: throw Unknown()
      }
    }
    throw Unknown()
  }

  @inline(__always)
  private mutating func pushLong(_ position: inout Int, _ count: Int) throws(Unknown) {
    if count > 8 {
      try push(PickleToken(.wide, position, count: count))
    } else {
      var word: UInt = 0
      if count > 0 {
        word = unsafe input[position + count - 1] & 0x80 == 0 ? 0 : .max
        for index in (0..<count).reversed() { word = unsafe word << 8 | UInt(input[position + index]) }
      }
      try push(PickleToken(.int, Int(bitPattern: word)))
    }
    position += count
  }
}
