/// The keys that lead to where one is, in plain memory: an array in an object would be checked for exclusive
/// access and for other holders at each value. Whoever makes it ends it.
@safe
struct MsgPackPathStack {
  private var memory: UnsafeMutablePointer<any CodingKey>?
  private var capacity = 0
  private(set) var count = 0

  @inline(__always)
  mutating func append(_ key: some CodingKey) {
    if count == capacity { grow() }
    guard let memory = unsafe memory else { preconditionFailure("there is room") }
    unsafe (memory + count).initialize(to: key)
    count += 1
  }

  @inline(never)
  private mutating func grow() {
    let larger = UnsafeMutablePointer<any CodingKey>.allocate(capacity: max(8, 2 * capacity))
    if let memory = unsafe memory {
      unsafe larger.moveInitialize(from: memory, count: count)
      unsafe memory.deallocate()
    }
    unsafe memory = unsafe larger
    capacity = max(8, 2 * capacity)
  }

  @inline(__always)
  mutating func truncate(to count: Int) {
    while self.count > count {
      self.count -= 1
      if let memory = unsafe memory { unsafe (memory + self.count).deinitialize(count: 1) }
    }
  }

  func keys(to depth: Int = .max) -> [any CodingKey] {
    unsafe Array(UnsafeBufferPointer(start: memory, count: min(count, depth)))
  }

  mutating func replace(with keys: [any CodingKey]) {
    truncate(to: 0)
    for key in keys { append(key) }
  }

  mutating func end() {
    truncate(to: 0)
    if let memory = unsafe memory { unsafe memory.deallocate() }
  }
}
