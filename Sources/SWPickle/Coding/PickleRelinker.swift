/// The dicts to sort, by positions in the sink.
struct PickleSorting {
  /// The sort order, as Python programs have it: ints, then strs by their bytes, then all other keys by the bytes of their
  /// opcodes.
  enum Key {
    case int(Int)
    case text(String)
    case other([UInt8])

    private var rank: Int {
      switch self {
      case .int: 0
      case .text: 1
      case .other: 2
      }
    }

    static func isBefore(_ a: Key, _ b: Key) -> Bool {
      switch (a, b) {
      case (.int(let a), .int(let b)): a < b
      case (.text(let a), .text(let b)): a.utf8.lexicographicallyPrecedes(b.utf8)
      case (.other(let a), .other(let b)): a.lexicographicallyPrecedes(b)
      default: a.rank < b.rank
      }
    }
  }

  /// A key and its value.
  struct Entry {
    var key: Key
    var range: Range<Int>
    /// The number of objects that had been numbered before.
    var memoCount: Int
  }

  struct Dict {
    var range: Range<Int>
    /// The numbers of numbered objects before and after it.
    var memoCount: Range<Int>
    var entries: [Entry] = []
  }

  private(set) var dicts: [Dict] = []
  /// The positions of MARKs that are not needed.
  var holes: Set<Int> = []

  mutating func open(at place: Int, _ memoCount: Int) -> Int {
    dicts.append(Dict(range: place..<place, memoCount: memoCount..<memoCount))
    return dicts.count - 1
  }

  mutating func add(_ key: Key, _ range: Range<Int>, _ memoCount: Int, to dict: Int) {
    dicts[dict].entries.append(Entry(key: key, range: range, memoCount: memoCount))
  }

  mutating func close(_ dict: Int, at place: Int, _ memoCount: Int) {
    dicts[dict].range = dicts[dict].range.lowerBound..<place
    dicts[dict].memoCount = dicts[dict].memoCount.lowerBound..<memoCount
    dicts[dict].entries.sort { Key.isBefore($0.key, $1.key) }
  }

  /// Removes what is behind a position.
  mutating func truncate(to place: Int) {
    while let last = dicts.last, last.range.lowerBound >= place { dicts.removeLast() }
    if !holes.isEmpty { holes = holes.filter { $0 < place } }
  }

  /// The dict that begins at a position.
  func dict(at place: Int) -> Dict? {
    var (low, high) = (0, dicts.count)
    while low < high {
      let middle = (low + high) / 2
      if dicts[middle].range.lowerBound < place { low = middle + 1 } else { high = middle }
    }
    return low < dicts.count && dicts[low].range.lowerBound == place ? dicts[low] : nil
  }
}

/// Copies opcodes into a new sink and renumbers the objects. Parts that were encoded separately get their position, entries
/// of dicts are sorted, and frames end where they would if everything had been written in this order.
///
/// Most messages do not need it.
struct PickleRelinker {
  private let sink: PickleSink
  /// The numbers of keys, which all parts share.
  private var keys: [PickleText: Int] = [:]

  static func relink(_ state: PickleEncodingState) throws -> [[UInt8]] {
    var relinker = PickleRelinker(sink: PickleSink(state.version))
    try relinker.copy(state)
    return relinker.sink.finish()
  }

  private init(sink: PickleSink) { self.sink = sink }

  /// The information about a state while it is copied.
  private struct Source {
    let state: PickleEncodingState
    let keys: [Int: String]
    /// The new number of each object.
    var numbers: [Int: Int] = [:]
  }

  private mutating func copy(_ state: PickleEncodingState) throws {
    try state.finishPart()
    var source = Source(state: state, keys: state.keysByNumber)
    var memoCount = 0
    try copy(&source, -1..<state.count, &memoCount)
  }

  /// Copies the opcodes of a range, and the separate parts that belong behind its first byte up to its end.
  private mutating func copy(_ source: inout Source, _ range: Range<Int>, _ memoCount: inout Int) throws {
    var place = max(0, range.lowerBound)
    let cuts = source.state.cuts
    var cut = cuts.firstIndex { $0.start > range.lowerBound } ?? cuts.count
    while true {
      while cut < cuts.count, cuts[cut].start == place {
        if case .part(let part) = cuts[cut].kind { try copy(part) }
        if cuts[cut].end > place { break }
        cut += 1
      }
      guard place < range.upperBound else { return }
      if source.state.sorting.holes.contains(place) {
        place += 1
      } else if let dict = source.state.sorting.dict(at: place) {
        try copy(&source, dict)
        memoCount = dict.memoCount.upperBound
        place = dict.range.upperBound
        while cut < cuts.count, cuts[cut].start < place { cut += 1 }
      } else if cut < cuts.count, cuts[cut].start == place {
        sink.boundary()
        let start = sink.count
        let end = cuts[cut].end
        unsafe sink.append(source.state.bytes(place..<end))
        if case .data(let data) = cuts[cut].kind {
          sink.leaveOutside(from: start, data)
        } else {
          sink.leaveOutside(from: start)
        }
        place = end
        cut += 1
      } else {
        place = copyOpcode(&source, at: place, &memoCount)
      }
    }
  }

  /// Copies the opcode at a position, and a MEMOIZE after a key.
  ///
  /// - Returns: the position of the next one.
  private mutating func copyOpcode(_ source: inout Source, at place: Int, _ memoCount: inout Int) -> Int {
    let (opcode, end) = source.state.opcode(at: place)
    switch opcode {
    case .memoize:
      source.numbers[memoCount] = sink.memoCount
      memoCount += 1
      sink.memoize()
    case .binaryGet, .longBinaryGet:
      sink.boundary()
      let number = source.state.number(place + 1, byteCount: end - place - 1)
      if let key = source.keys[number] {
        write(key: key)
      } else {
        sink.get(source.numbers[number] ?? 0)
      }
    case .shortBinaryUnicode, .binaryUnicode:
      sink.boundary()
      if let key = source.keys[memoCount] {
        write(key: key)
        memoCount += 1
        return end + 1
      }
      unsafe sink.append(source.state.bytes(place..<end))
    case .mark, .appends, .setItems, .addItems, .append, .setItem, .tuple, .tuple1, .tuple2, .tuple3,
      .frozenSet, .pop,
      .popMark, .reduce, .newObject, .newObjectWithKeywords, .build, .stackGlobal:
      unsafe sink.append(source.state.bytes(place..<end))
    default:
      sink.boundary()
      unsafe sink.append(source.state.bytes(place..<end))
    }
    return end
  }

  private mutating func write(key: String) {
    if let number = keys[PickleText(key)] { return sink.get(number) }
    keys[PickleText(key)] = sink.memoCount
    sink.write(key)
  }

  private mutating func copy(_ source: inout Source, _ dict: PickleSorting.Dict) throws {
    sink.boundary()
    sink.write(.emptyDict)
    source.numbers[dict.memoCount.lowerBound] = sink.memoCount
    sink.memoize()
    if dict.entries.count > 1 { sink.write(.mark) }
    for (index, entry) in dict.entries.enumerated() {
      var memoCount = entry.memoCount
      try copy(&source, entry.range, &memoCount)
      if (index + 1).isMultiple(of: PickleWriter.batch) {
        sink.write(.setItems)
        sink.write(.mark)
      }
    }
    if !dict.entries.isEmpty { sink.write(dict.entries.count > 1 ? .setItems : .setItem) }
  }
}

extension PickleSink {
  /// A little-endian number of at most eight bytes.
  final func number(_ place: Int, byteCount: Int) -> Int {
    unsafe bytes(place..<(place + byteCount)).reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  /// An opcode that was written here, and the position of the next one.
  final func opcode(at place: Int) -> (PickleOpcode, end: Int) {
    guard let opcode = PickleOpcode(rawValue: unsafe bytes(place..<(place + 1))[0]) else {
      preconditionFailure("an opcode")
    }
    let end: Int
    switch opcode {
    case .binaryInt1, .binaryGet: end = place + 2
    case .binaryInt2: end = place + 3
    case .binaryInt, .longBinaryGet: end = place + 5
    case .binaryFloat: end = place + 9
    case .long1, .shortBinaryUnicode, .shortBinaryBytes: end = place + 2 + number(place + 1, byteCount: 1)
    case .long4, .binaryUnicode, .binaryBytes: end = place + 5 + number(place + 1, byteCount: 4)
    case .binaryUnicode8, .binaryBytes8, .byteArray8: end = place + 9 + number(place + 1, byteCount: 8)
    default: end = place + 1
    }
    return (opcode, end)
  }
}
