/// The coding keys from the top of a message to the value that is being coded, in plain memory. An array in an object would
/// be checked for exclusivity and uniqueness for each value. The owner calls `end()`.
///
/// It is inlinable, so the coders' modules compile it into their own code.
@safe
@frozen
package struct CodingPathStack {
  @usableFromInline var memory: UnsafeMutablePointer<any CodingKey>?
  @usableFromInline var capacity = 0
  @usableFromInline package var count = 0

  @inlinable @inline(__always)
  package init() { unsafe memory = nil }

  @inlinable @inline(__always)
  package mutating func append(_ key: some CodingKey) {
    if count == capacity { grow() }
    guard let memory = unsafe memory else { preconditionFailure("there is room") }
    unsafe (memory + count).initialize(to: key)
    count += 1
  }

  @usableFromInline @inline(never)
  mutating func grow() {
    let larger = UnsafeMutablePointer<any CodingKey>.allocate(capacity: max(8, 2 * capacity))
    if let memory = unsafe memory {
      unsafe larger.moveInitialize(from: memory, count: count)
      unsafe memory.deallocate()
    }
    unsafe memory = unsafe larger
    capacity = max(8, 2 * capacity)
  }

  @inlinable @inline(__always)
  package mutating func truncate(to count: Int) {
    while self.count > count {
      self.count -= 1
      if let memory = unsafe memory { unsafe (memory + self.count).deinitialize(count: 1) }
    }
  }

  package func keys(to depth: Int = .max) -> [any CodingKey] {
    unsafe Array(UnsafeBufferPointer(start: memory, count: min(count, depth)))
  }

  package func keys(from start: Int, to depth: Int) -> [any CodingKey] {
    guard let memory = unsafe memory, start < min(count, depth) else { return [] }
    return unsafe Array(UnsafeBufferPointer(start: memory + start, count: min(count, depth) - start))
  }

  package mutating func replace(with keys: [any CodingKey]) {
    truncate(to: 0)
    for key in keys { append(key) }
  }

  @inlinable @inline(__always)
  package mutating func end() {
    truncate(to: 0)
    if let memory = unsafe memory { unsafe memory.deallocate() }
  }
}
