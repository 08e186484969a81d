/// A table of what a coder has learned about each case of the key types that it meets: in the encoder the number of the
/// written key, in the decoder the position at which the key was found last.
///
/// Nearly all key types are enumerations without payloads, whose values have one byte. So a key costs one load. Its text and
/// the lookup of the text cost 60 ns. The first type gets a table at its second use, because most small messages have one
/// container.
@safe
struct PickleKeyTables<Row: BitwiseCopyable> {
  @safe
  struct Table {
    let rows: UnsafeMutablePointer<Row>
  }

  /// An entry in the list of tables.
  @safe
  private struct Entry {
    var type: ObjectIdentifier
    var table: Table
    var next: UnsafeMutablePointer<Entry>?
  }

  /// The number of cases of a type that have a row.
  let rowCount: Int
  private let initial: Row
  private var firstType: ObjectIdentifier?
  /// The type of the last call, and its table.
  private var lastType: ObjectIdentifier?
  private var lastTable: Table?
  private var entries: UnsafeMutablePointer<Entry>?

  init(rowCount: Int, initial: Row) {
    self.rowCount = rowCount
    self.initial = initial
    unsafe entries = nil
  }

  /// Returns the table of a key type. Returns nil if it has none.
  @inline(__always)
  mutating func table<Key: CodingKey>(_ type: Key.Type) -> Table? {
    if MemoryLayout<Key>.size > 1 { return nil }
    let type = ObjectIdentifier(type)
    if lastType == type { return lastTable }
    return find(type)
  }

  @inline(never)
  private mutating func find(_ type: ObjectIdentifier) -> Table? {
    if firstType == nil {
      firstType = type
      return nil
    }
    lastType = type
    var entry = unsafe entries
    while let found = unsafe entry {
      if unsafe found.pointee.type == type {
        lastTable = unsafe found.pointee.table
        return lastTable
      }
      unsafe entry = unsafe found.pointee.next
    }
    let rows = UnsafeMutablePointer<Row>.allocate(capacity: rowCount)
    unsafe rows.initialize(repeating: initial, count: rowCount)
    let table = unsafe Table(rows: rows)
    let added = UnsafeMutablePointer<Entry>.allocate(capacity: 1)
    unsafe added.initialize(to: Entry(type: type, table: table, next: entries))
    unsafe entries = unsafe added
    lastTable = table
    return table
  }

  /// Resets all rows.
  mutating func clear() {
    var entry = unsafe entries
    while let found = unsafe entry {
      unsafe found.pointee.table.rows.update(repeating: initial, count: rowCount)
      unsafe entry = unsafe found.pointee.next
    }
  }

  /// Frees the tables.
  mutating func end() {
    while let found = unsafe entries {
      unsafe entries = unsafe found.pointee.next
      unsafe found.pointee.table.rows.deallocate()
      unsafe found.deallocate()
    }
  }
}

extension CodingKey {
  /// The number of the case, which is its row. Only for keys of at most one byte.
  @inline(__always)
  var caseNumber: Int {
    MemoryLayout<Self>.size == 0 ? 0 : Int(unsafe unsafeBitCast(self, to: UInt8.self))
  }
}
