/// What a coder has learned about each case of the types of keys that it meets: the encoder, which key the case was
/// written as; the decoder, where its key was found last.
///
/// Nearly all types of keys are enumerations without payloads, whose values are one byte. So a key costs a load, where
/// its text and the lookup of that cost 60 ns. The first type gets a table when it is asked for again: most small
/// messages are one container.
@safe
struct PickleKeyTables<Row: BitwiseCopyable> {
  @safe
  struct Table {
    let rows: UnsafeMutablePointer<Row>
  }

  /// A table in the list of all of them.
  @safe
  private struct Entry {
    var type: ObjectIdentifier
    var table: Table
    var next: UnsafeMutablePointer<Entry>?
  }

  /// How many cases of a type have a row.
  let rowCount: Int
  private let initial: Row
  private var firstType: ObjectIdentifier?
  /// The type that was asked for last, and its table.
  private var lastType: ObjectIdentifier?
  private var lastTable: Table?
  private var entries: UnsafeMutablePointer<Entry>?

  init(rowCount: Int, initial: Row) {
    self.rowCount = rowCount
    self.initial = initial
    unsafe entries = nil
  }

  /// The table of a type of keys; nil if there is none.
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

  /// Makes all rows what they were at first.
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
  /// The row of the key in a table: which case it is. Only of keys of one byte at most.
  @inline(__always)
  var caseNumber: Int {
    MemoryLayout<Self>.size == 0 ? 0 : Int(unsafe unsafeBitCast(self, to: UInt8.self))
  }
}
