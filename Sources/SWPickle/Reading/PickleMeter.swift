/// Counts the memory and the work that one message costs. The reader and the decoder both use it, and nothing else counts.
///
/// Opcodes can refer to one part many times, and so ask for far more than the pickle's size. Each such request is charged
/// before it is carried out. The sums may reach a fixed multiple of the pickle's length, plus a constant: 256 bytes of
/// memory and 64 steps for each byte. Opcodes that multiply nothing stay below that: the most expensive byte is an empty
/// container, of about 150 bytes. A decoder's visits are limited in proportion to the number of the value's parts.
struct PickleMeter {
  private(set) var memory = 0
  private(set) var work = 0
  private let memoryLimit: Int
  private let workLimit: Int

  /// The memory in bytes, and the steps, that a byte of a pickle may cost.
  static let memoryPerByte = 256
  static let workPerByte = 64
  private static let constant = 1 << 16
  /// How many visits for each part of the value a decoder may make, whatever is shared.
  static let visitsPerPart = 16
  /// How many further visits for each part it may make, up to ``PickleLimits/repeatedParts``. So a pickle of 35 bytes that
  /// says `range(0, 1 << 40)` fails after some 20,000 elements, and `[[0] * 640] * 480`, of 2 KB, decodes.
  private static let repetitionsPerPart = 1024

  /// Makes the meter for reading this number of bytes.
  init(byteCount: Int, limits: PickleLimits) {
    memoryLimit = min(limits.memory, Self.constant + Self.product(byteCount, Self.memoryPerByte))
    workLimit = Self.constant + Self.product(byteCount, Self.workPerByte)
  }

  /// Makes the meter for decoding a value with this number of parts. It may visit shared ones more than once.
  init(weight: Int, limits: PickleLimits) {
    memoryLimit = limits.memory
    let repeated = min(limits.repeatedParts, Self.product(weight, Self.repetitionsPerPart))
    workLimit = Self.product(weight, Self.visitsPerPart) + max(0, min(repeated, Int.max / 4))
  }

  private static func product(_ a: Int, _ b: Int) -> Int {
    let (product, isTooLarge) = a.multipliedReportingOverflow(by: b)
    return isTooLarge ? Int.max / 2 : min(product, Int.max / 2)
  }

  /// The message would cost more than the limits allow.
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

  /// How many steps are left.
  var remainingWork: Int { max(0, workLimit - work) }

  @inline(__always)
  mutating func charge(work steps: Int) throws(Exceeded) {
    let (sum, isTooLarge) = work.addingReportingOverflow(steps)
    work = sum
    if isTooLarge || sum > workLimit { throw Exceeded(isMemory: false, limit: workLimit) }
  }
}
