/// Counts the memory and the work that one message costs: the only place that does, for the reader and the decoder
/// alike.
///
/// Opcodes can refer to one part again and again, and so ask for far more than the pickle has bytes. Each such
/// request is charged before it is carried out, and the sums may reach a fixed multiple of the pickle's length: 256
/// bytes of memory and 64 steps for each byte, and a constant beside it. What no opcode multiplies stays below
/// that: the costliest byte is an empty container, of about 150 bytes. What a decoder may visit is in proportion to
/// the value's parts.
struct PickleMeter {
  private(set) var memory = 0
  private(set) var work = 0
  private let memoryLimit: Int
  private let workLimit: Int

  /// Bytes of memory, and steps, that a byte of a pickle may cost.
  static let memoryPerByte = 256
  static let workPerByte = 64
  private static let constant = 1 << 16
  /// How many times as many parts as there are a decoder may visit, whatever is shared.
  static let visitsPerPart = 16
  /// How many times as many parts it may visit again, up to ``PickleLimits/repeatedParts``. A pickle of 35 bytes
  /// that says `range(0, 1 << 40)` thus costs some 20,000 elements before it is given up, and `[[0] * 640] * 480`,
  /// of 2 KB, decodes.
  private static let repetitionsPerPart = 1024

  /// For the reading of so many bytes.
  init(byteCount: Int, limits: PickleLimits) {
    memoryLimit = min(limits.memory, Self.constant + Self.product(byteCount, Self.memoryPerByte))
    workLimit = Self.constant + Self.product(byteCount, Self.workPerByte)
  }

  /// For the decoding of a value of so many parts, which may visit shared ones more than once.
  init(weight: Int, limits: PickleLimits) {
    memoryLimit = limits.memory
    let repeated = min(limits.repeatedParts, Self.product(weight, Self.repetitionsPerPart))
    workLimit = Self.product(weight, Self.visitsPerPart) + max(0, min(repeated, Int.max / 4))
  }

  private static func product(_ a: Int, _ b: Int) -> Int {
    let (product, isTooLarge) = a.multipliedReportingOverflow(by: b)
    return isTooLarge ? Int.max / 2 : min(product, Int.max / 2)
  }

  /// The message would cost more than it may.
  struct Exceeded: Error {
    var isMemory: Bool
    var limit: Int
  }

  @inline(__always)
  mutating func charge(memory byteCount: Int) throws(Exceeded) {
    let (sum, isTooLarge) = memory.addingReportingOverflow(byteCount)
    memory = sum
    if isTooLarge || sum > memoryLimit { throw Exceeded(isMemory: true, limit: memoryLimit) }
  }

  @inline(__always)
  mutating func charge(work steps: Int) throws(Exceeded) {
    let (sum, isTooLarge) = work.addingReportingOverflow(steps)
    work = sum
    if isTooLarge || sum > workLimit { throw Exceeded(isMemory: false, limit: workLimit) }
  }
}
