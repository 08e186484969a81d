/// Makes `count` bytes, each from its index. Without optimization, a `map` of a range takes a lock of Swift's runtime for
/// every element, and tests that run at the same time wait for that lock.
package func makeBytes(_ count: Int, _ byte: (Int) -> UInt8) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  var index = 0
  while index < count {
    bytes[index] = byte(index)
    index += 1
  }
  return bytes
}
