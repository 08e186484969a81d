// The keys of types. Each text is written once. Later keys refer to it.

extension PickleEncodingState {
  /// The rows of a key type. Nil if its values do not have one byte.
  @inline(__always)
  func table<K: CodingKey>(_ type: K.Type) -> KeyTable? { unsafe own.pointee.tables.table(type) }

  // MARK: Writing

  /// Writes a key as a reference to its text.
  @inline(__always)
  func write(key: Int) {
    boundary()
    let number = unsafe own.pointee.keys[key].number
    if number >= 0 { get(Int(number)) } else { writeAgain(key) }
  }

  @inline(never)
  private func writeAgain(_ key: Int) { write(text(of: key)) }

  /// Writes the text of a key, if no key with this text has been written.
  ///
  /// - Returns: the number of the key. If it was written just now, the complement of the number.
  @inline(never)
  func findOrWrite(_ text: String) -> Int {
    // The bytes are compared in place, because a copy would retain the text.
    if let key = unsafe text.utf8.withContiguousStorageIfAvailable({ bytes in unsafe findOrWrite(bytes) }) {
      return key
    }
    var text = text
    return text.withUTF8 { bytes in unsafe findOrWrite(bytes) }
  }

  @inline(__always)
  private func findOrWrite(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
    let bit: UInt64 = 1 << UInt64(truncatingIfNeeded: bytes.count & 63)
    if unsafe own.pointee.lengths & bit != 0, let known = unsafe find(bytes) { return known }
    let key = unsafe own.pointee.keyCount
    if unsafe key == own.pointee.keyCapacity { growKeys() }
    boundary()
    let start = count
    let number = Int32(exactly: memoCount) ?? -1
    unsafe write(text: bytes)
    // The opcode, and the bytes of the length.
    let headerByteCount = bytes.count < 256 ? 2 : bytes.count <= 0xffff_ffff ? 5 : 9
    unsafe (own.pointee.keys + key).initialize(
      to: Key(start: start + headerByteCount, count: bytes.count, number: number))
    unsafe own.pointee.keyCount += 1
    unsafe own.pointee.lengths |= bit
    if key >= Self.fewKeys { addToIndex(key) }
    return ~key
  }

  /// Writes a key, whether or not it is new.
  func write(keyText: String) {
    let key = findOrWrite(keyText)
    if key >= 0 { write(key: key) }
  }

  // MARK: Finding

  private func find(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    let count = unsafe own.pointee.keyCount
    if count > Self.fewKeys { return rare?.index[PickleText(unsafe String(decoding: bytes, as: UTF8.self))] }
    for key in 0..<count
    where unsafe own.pointee.keys[key].count == bytes.count
      && haveSameBytes(UnsafeRawBufferPointer(self.bytes(of: key)), UnsafeRawBufferPointer(bytes))
    {
      return key
    }
    return nil
  }

  @inline(never)
  private func growKeys() {
    let count = unsafe own.pointee.keyCount
    let larger = UnsafeMutablePointer<Key>.allocate(capacity: 2 * count)
    unsafe larger.update(from: own.pointee.keys, count: count)
    if unsafe own.pointee.keys != firstKeys { unsafe own.pointee.keys.deallocate() }
    unsafe own.pointee.keys = unsafe larger
    unsafe own.pointee.keyCapacity = 2 * count
  }

  /// Adds a key to the index. When there are too many for a linear search, all keys are added.
  @inline(never)
  private func addToIndex(_ key: Int) {
    for key in (key == Self.fewKeys ? 0 : key)...key { rarely.index[PickleText(text(of: key))] = key }
  }

  private func bytes(of key: Int) -> UnsafeBufferPointer<UInt8> {
    let found = unsafe own.pointee.keys[key]
    return unsafe UnsafeBufferPointer(start: core.pointee.bytes + found.start, count: found.count)
  }

  /// The text of a key.
  func text(of key: Int) -> String { unsafe String(decoding: bytes(of: key), as: UTF8.self) }

  /// The text of each numbered key.
  var keysByNumber: [Int: String] {
    var keys: [Int: String] = [:]
    for key in unsafe 0..<own.pointee.keyCount where unsafe own.pointee.keys[key].number >= 0 {
      unsafe keys[Int(own.pointee.keys[key].number)] = text(of: key)
    }
    return keys
  }

  // MARK: Changes of the bytes

  /// Removes the keys whose texts are taken back. Those are the last ones.
  func forgetKeys(from place: Int) {
    let count = unsafe own.pointee.keyCount
    while unsafe own.pointee.keyCount > 0, unsafe own.pointee.keys[own.pointee.keyCount - 1].start > place {
      unsafe own.pointee.keyCount -= 1
    }
    if unsafe own.pointee.keyCount == count { return }
    unsafe own.pointee.tables.clear()
    guard let rare, !rare.index.isEmpty else { return }
    let left = unsafe own.pointee.keyCount
    rare.index = left > Self.fewKeys ? rare.index.filter { $0.value < left } : [:]
  }

  /// Moves the texts behind a byte that is about to be removed.
  func moveKeys(after place: Int) {
    var key = unsafe own.pointee.keyCount
    while key > 0, unsafe own.pointee.keys[key - 1].start > place {
      key -= 1
      unsafe own.pointee.keys[key].start -= 1
    }
  }

  // MARK: The keys of a dict

  /// Notes that a dict has a key. Returns false if it had the key before.
  @inline(__always)
  func note(_ key: Int, _ level: Int) -> Bool {
    if key >= 64 { return noteMany(key, level) }
    let own = unsafe pointer(to: level)
    let bit: UInt64 = 1 << UInt64(truncatingIfNeeded: key)
    if unsafe own.pointee.seen & bit != 0 { return false }
    unsafe own.pointee.seen |= bit
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

  /// Removes the note of a key whose value could not be encoded.
  @inline(never)
  func forget(_ key: Int, _ level: Int) {
    if key < 64 {
      self[level].seen &= ~(1 << UInt64(key))
    } else {
      rarely.seen.remove(SeenKey(dict: self[level].dict, key: key))
    }
  }
}
