import Foundation
import SWFraming
import SWIO
import SWTesting
import SystemPackage
import TestSupport
import Testing

@testable import SWMessaging

/// Ancillary data of a stream, kept by its position: by hand.
@Suite(.lastResort, .leavesNothing) struct AncillaryTurnTests {
  /// A turn of the test's own, as an object.
  private final class Stream {
    private var turn = ReceiveTurn()
    private let limit: Int

    init(limit: Int = 253) { self.limit = limit }

    /// This many bytes come in one read, with this data beside them.
    func bring(_ count: Int, _ found: Ancillary? = nil) {
      let request = ReceiveRequest.exactly(turn.count + count)
      let outcome = unsafe turn.attempt(.atLeast(turn.count + count), for: request) { memory in
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 7)
        return .transferred(min(count, memory.count))
      }
      #expect(outcome == .moved)
      if let found { turn.add(found, besideLast: count, limit: limit) }
    }

    /// A message of this many bytes is received, and what belongs to it.
    func take(_ count: Int, looks: Bool = true) -> Ancillary? {
      let demand = FrameDemand.frame(byteCount: count, payload: 0..<count)
      let found = looks ? turn.takeAncillary(of: demand) : nil
      if looks { #expect(turn.takeAncillary(of: demand)?.descriptors == nil) }
      turn.consume(demand)
      return found
    }
  }

  private static func writer(_ process: Int32) -> SenderCredentials {
    SenderCredentials(processID: process, userID: 1, groupID: 2)
  }

  private func descriptors(_ count: Int) throws -> (Ancillary, [Int32]) {
    let all = try (0..<count).map { _ in try FileDescriptor.open(FilePath("/dev/null"), .readOnly) }
    return (Ancillary(descriptors: ReceivedDescriptors(all)), all.map(\.rawValue))
  }

  /// Takes them all, and closes them.
  private func numbers(_ found: Ancillary?) -> [Int32] {
    var numbers: [Int32] = []
    while let next = found?.descriptors?.take() { numbers.append(next.withDescriptor { $0.rawValue }) }
    return numbers
  }

  @Test func `what is over the limit goes with the first of it, also to a receiver of fewer bytes`() throws {
    let stream = Stream(limit: 1)
    var first: [Int32] = []
    for index in 0..<3 {
      let (found, numbers) = try descriptors(1)
      if index == 0 { first = numbers }
      stream.bring(3, found)
    }
    let front = stream.take(4)
    #expect(front?.lostDescriptors == true && numbers(front) == first)
    #expect(numbers(stream.take(5)).count == 1)
  }

  @Test func `descriptors belong to the message that holds the last byte of their read`() throws {
    let stream = Stream()
    let (found, expected) = try descriptors(2)
    stream.bring(3)
    stream.bring(4, found)
    stream.bring(5)
    // The last of the seven bytes is in the third of these.
    #expect(stream.take(3) == nil)
    #expect(stream.take(3) == nil)
    #expect(numbers(stream.take(1)) == expected)
    #expect(stream.take(5) == nil)
  }

  @Test func `descriptors of several reads within one message come together, in order`() throws {
    let stream = Stream()
    let (first, firstNumbers) = try descriptors(1)
    let (second, secondNumbers) = try descriptors(2)
    let (third, thirdNumbers) = try descriptors(1)
    stream.bring(2, first)
    stream.bring(2, second)
    stream.bring(2, third)
    let whole = stream.take(4)
    #expect(whole?.descriptors?.count == 3 && whole?.lostDescriptors == false)
    #expect(numbers(whole) == firstNumbers + secondNumbers)
    #expect(numbers(stream.take(2)) == thirdNumbers)
  }

  @Test func `a message has no more descriptors than the limit, however many reads bring some`() async throws
  {
    let stream = Stream(limit: 2)
    let (first, firstNumbers) = try descriptors(1)
    stream.bring(1, first)
    let before = try openCount()
    var kept: [Int32] = []
    for _ in 0..<50 {
      let (next, numbers) = try descriptors(2)
      if kept.isEmpty { kept = [numbers[0]] }
      stream.bring(1, next)
      // The surplus of the message goes when the next read comes, on another thread, which may have descriptors of its own.
      await eventually { (try? openCount()) ?? .max <= before + 10 }
    }
    let whole = stream.take(51)
    #expect(whole?.lostDescriptors == true)
    #expect(numbers(whole) == firstNumbers + kept)
    // The next message has its own.
    let (last, lastNumbers) = try descriptors(2)
    stream.bring(1, last)
    let next = stream.take(1)
    #expect(next?.lostDescriptors == false && numbers(next) == lastNumbers)
  }

  @Test func `a message that is long in coming holds at most twice as many descriptors as it may have`()
    async throws
  {
    let stream = Stream(limit: 20)
    let before = try openCount()
    for _ in 0..<12 {
      let (next, _) = try descriptors(20)
      stream.bring(1, next)
      // Beside them, the few that the library opens to close descriptors.
      await eventually { (try? openCount()) ?? .max <= before + 48 }
    }
    let whole = stream.take(12)
    #expect(whole?.lostDescriptors == true && whole?.descriptors?.count == 20)
  }

  @Test func `a message that is long in coming is remembered to have lost descriptors, and not how often`() {
    var queue = AncillaryQueue()
    for position in 0..<1_000 as Range<UInt64> {
      queue.add(Ancillary(lostDescriptors: true), beside: position...position, limit: 2)
      #expect(queue.readCount <= 4)
    }
    let found = queue.take(before: 1_000)
    #expect(found?.lostDescriptors == true && queue.isEmpty)
  }

  private func openCount() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
  }

  @Test func `that descriptors were lost is told with their message, and once`() {
    let stream = Stream()
    stream.bring(4, Ancillary(lostDescriptors: true))
    stream.bring(4)
    #expect(stream.take(3)?.lostDescriptors == nil)
    let found = stream.take(1)
    #expect(found?.lostDescriptors == true && found?.descriptors == nil)
    #expect(stream.take(4) == nil)
  }

  @Test func `credentials hold from the first byte of a read until those of another writer`() {
    let stream = Stream()
    stream.bring(4, Ancillary(credentials: Self.writer(1)))
    stream.bring(4, Ancillary(credentials: Self.writer(1)))
    stream.bring(4, Ancillary(credentials: Self.writer(2)))
    stream.bring(4, Ancillary(credentials: Self.writer(3)))
    #expect(stream.take(4)?.credentials == Self.writer(1))
    #expect(stream.take(4)?.credentials == Self.writer(1))
    // A message is of who wrote its last byte; a border is no byte of the next writer.
    #expect(stream.take(2)?.credentials == Self.writer(2))
    #expect(stream.take(2)?.credentials == Self.writer(2))
    #expect(stream.take(1)?.credentials == Self.writer(3))
    stream.bring(2)
    #expect(stream.take(5)?.credentials == Self.writer(3))
  }

  @Test func `sixteen writers of one message are told apart`() {
    let stream = Stream()
    for writer in 1...16 { stream.bring(1, Ancillary(credentials: Self.writer(Int32(writer)))) }
    for writer in 1...16 { #expect(stream.take(1)?.credentials == Self.writer(Int32(writer))) }
    for writer in 1...17 { stream.bring(1, Ancillary(credentials: Self.writer(Int32(writer)))) }
    // Those of the oldest two are forgotten rather than confused.
    for _ in 1...2 { #expect(stream.take(1)?.credentials == nil) }
    for writer in 3...17 { #expect(stream.take(1)?.credentials == Self.writer(Int32(writer))) }
  }

  @Test func `bytes before the first credentials have none`() {
    let stream = Stream()
    stream.bring(3)
    stream.bring(3, Ancillary(credentials: Self.writer(1)))
    #expect(stream.take(3) == nil)
    #expect(stream.take(3)?.credentials == Self.writer(1))
  }

  @Test func `a message that spans two writers is of the second`() {
    let stream = Stream()
    stream.bring(3, Ancillary(credentials: Self.writer(1)))
    stream.bring(3, Ancillary(credentials: Self.writer(2)))
    #expect(stream.take(5)?.credentials == Self.writer(2))
    #expect(stream.take(1)?.credentials == Self.writer(2))
  }

  /// The memory for writers must not grow with the bytes of a message, and no byte may be taken for another writer's.
  @Test func `of writers that take turns the latest are known, and the bytes of the others have none`() {
    let stream = Stream()
    let count: Int32 = 200
    for number in 0..<count { stream.bring(1, Ancillary(credentials: Self.writer(number))) }
    let known = (0..<count).map { _ in stream.take(1)?.credentials }
    #expect(known.suffix(10) == ((count - 10)..<count).map { Self.writer($0) }.suffix(10))
    #expect(known.prefix(180).allSatisfy { $0 == nil })
    #expect(known.enumerated().allSatisfy { $1 == nil || $1 == Self.writer(Int32($0)) })
    // The next writer is known again, and is that of a message that it ends.
    for number in 0..<count { stream.bring(1, Ancillary(credentials: Self.writer(number % 2))) }
    #expect(stream.take(Int(count))?.credentials == Self.writer(1))
    stream.bring(1)
    #expect(stream.take(1)?.credentials == Self.writer(1))
  }

  @Test func `what a message brings that nobody looks at goes with it`() throws {
    let stream = Stream()
    let (found, expected) = try descriptors(1)
    stream.bring(4, found)
    stream.bring(4, Ancillary(lostDescriptors: true))
    _ = stream.take(4, looks: false)
    let next = stream.take(4)
    #expect(next?.lostDescriptors == true && next?.descriptors == nil)
    #expect(numbers(found) == expected)
  }
}
