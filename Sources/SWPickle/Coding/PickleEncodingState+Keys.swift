// The keys of types: each text is written once, and then referred to.

extension PickleEncodingState {
  /// The rows of a type of keys; nil if its values are not of one byte.
  @inline(__always)
  func table<K: CodingKey>(_ type: K.Type) -> KeyTable? {
    if MemoryLayout<K>.size > 1 { return nil }
    let type = ObjectIdentifier(type)
    if unsafe own.pointee.lastType == type { return unsafe own.pointee.lastTable }
    let table = table(type)
    if table != nil {
      unsafe own.pointee.lastType = type
      unsafe own.pointee.lastTable = table
    }
    return table
  }

  @inline(never)
  private func table(_ type: ObjectIdentifier) -> KeyTable? {
    if unsafe own.pointee.firstType == nil {
      unsafe own.pointee.firstType = type
      return nil
    }
    let rare = rarely
    for (known, table) in rare.tables where known == type { return table }
    if case .custom = options.keyStrategy.kind { return nil }
    let rows = UnsafeMutablePointer<UInt16>.allocate(capacity: KeyTable.count)
    unsafe rows.initialize(repeating: 0, count: KeyTable.count)
    let table = unsafe KeyTable(rows: rows)
    rare.tables.append((type, table))
    return table
  }

  /// The key of a text.
  func key(_ text: String) -> Int {
    let count = unsafe own.pointee.keyCount
    if count <= Self.fewKeys {
      let length = text.utf8.count
      for key in 0..<count
      where unsafe own.pointee.keys[key].text.utf8.count == length
        && own.pointee.keys[key].text.hasSameBytes(as: text)
      {
        return key
      }
    } else if let known = rare?.index[PickleText(text)] {
      return known
    }
    if unsafe count == own.pointee.keyCapacity { growKeys() }
    unsafe (own.pointee.keys + count).initialize(to: Key(text: text))
    unsafe own.pointee.keyCount += 1
    if count >= Self.fewKeys { addToIndex(count) }
    return count
  }

  @inline(never)
  private func growKeys() {
    let count = unsafe own.pointee.keyCount
    let larger = UnsafeMutablePointer<Key>.allocate(capacity: 2 * count)
    unsafe larger.moveInitialize(from: own.pointee.keys, count: count)
    if unsafe own.pointee.keys != firstKeys { unsafe own.pointee.keys.deallocate() }
    unsafe own.pointee.keys = unsafe larger
    unsafe own.pointee.keyCapacity = 2 * count
  }

  /// Adds a key to the index; with the first beyond a few, all.
  @inline(never)
  private func addToIndex(_ key: Int) {
    for key in (key == Self.fewKeys ? 0 : key)...key {
      rarely.index[PickleText(text(of: key))] = key
    }
  }

  /// Writes a key: the first time its text, and then a reference to that.
  @inline(__always)
  func write(key: Int) {
    boundary()
    let number = unsafe own.pointee.keys[key].number
    if number >= 0 { get(Int(number)) } else { writeFirst(key) }
  }

  @inline(never)
  private func writeFirst(_ key: Int) {
    // More than fit are written in full, each time.
    if let number = Int32(exactly: memoCount) {
      unsafe own.pointee.keys[key].number = number
      unsafe own.pointee.keys[key].previous = own.pointee.lastNumbered
      unsafe own.pointee.lastNumbered = Int32(truncatingIfNeeded: key)
    }
    write(unsafe own.pointee.keys[key].text)
  }

  /// The text of a key.
  func text(of key: Int) -> String { unsafe own.pointee.keys[key].text }

  /// Which key each number stands for.
  var keysByNumber: [Int: String] {
    var keys: [Int: String] = [:]
    for key in unsafe 0..<own.pointee.keyCount where unsafe own.pointee.keys[key].number >= 0 {
      unsafe keys[Int(own.pointee.keys[key].number)] = own.pointee.keys[key].text
    }
    return keys
  }

  /// Notes that a dict has a key. False: it had it before.
  @inline(__always)
  func note(_ key: Int, _ level: Int) -> Bool {
    if key >= 64 { return noteMany(key, level) }
    let bit: UInt64 = 1 << UInt64(key)
    if self[level].seen & bit != 0 { return false }
    self[level].seen |= bit
    return true
  }

  @inline(never)
  private func noteMany(_ key: Int, _ level: Int) -> Bool {
    let rare = rarely
    if self[level].dict == 0 {
      rare.dictCount += 1
      self[level].dict = rare.dictCount
    }
    return rare.seen.insert(SeenKey(dict: self[level].dict, key: key)).inserted
  }

  /// Takes a note back, of a key whose value could not be encoded.
  @inline(never)
  func forget(_ key: Int, _ level: Int) {
    if key < 64 {
      self[level].seen &= ~(1 << UInt64(key))
    } else {
      rarely.seen.remove(SeenKey(dict: self[level].dict, key: key))
    }
  }
}
