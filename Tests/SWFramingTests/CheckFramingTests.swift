import SWFraming
import SWTesting
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct CheckFramingTests {
  let messages = [0, 1, 2, 40, 300, 1000].map(payload(byteCount:))

  @Test func `a framing without fault passes`() throws {
    try checkFraming(
      BrokenFraming(fault: nil), messages: messages,
      largeMessage: { byteCount in payload(byteCount: min(byteCount, 0xffff)) })
    try checkFraming(
      TextLineFraming<String, String>(), messages: ["", "a", String(repeating: "b", count: 3000)],
      largeMessage: { byteCount in String(repeating: "c", count: byteCount) })
  }

  static let faults: [(fault: BrokenFraming.Fault, law: FramingViolation.Law)] = [
    (.refusesToEncode, .encodes),
    (.encodesNothing, .encodes),
    (.encodesTooShortALength, .roundTrips),
    (.losesTheLastByte, .roundTrips),
    (.refusesItsOwn, .roundTrips),
    (.shrinksItsDemand, .demandNeverShrinks),
    (.asksForWhatItHas, .demandGetsOn),
    (.readsPastTheEnd, .demandStaysInFrame),
    (.takesMoreThanTheFrame, .demandStaysInFrame),
    (.takesWhatIsThere, .truncatedStaysOpen),
    (.takesAllThereIs, .ignoresChunking),
    (.takesNothing, .demandGetsOn),
    (.asksForNothing, .demandGetsOn),
    (.forgetsASplitHeader, .ignoresChunking),
    (.refusesDependingOnChunks, .ignoresChunking),
    (.sharesItsState, .copiesAreAlone),
    (.misplacesThePayload, .envelopeFits),
    (.endsWithMoreThanThereIs, .endFitsBytes),
    (.endsWithAFrameOfNothing, .endFitsBytes),
    (.endsNothingWithAFrame, .endFitsBytes),
    (.endsNothingInTheMiddle, .endFitsBytes),
    (.endsACutFrameWithNothing, .endFitsBytes),
    (.contradictsItsByteCount, .envelopeFits),
    (.refusesInDecode, .envelopeFits),
    (.fillsWithMoreThanTheFrame, .fillingFits),
    (.fillsWithAnotherMessage, .fillingFits),
    (.fillsWithAPart, .fillingFits),
    (.refusesInFilling, .fillingFits),
    (.endsAShortCutWithNothing, .endFitsBytes),
  ]

  @Test(arguments: faults)
  func `a fault breaks its law`(_ fault: BrokenFraming.Fault, law: FramingViolation.Law) {
    let violation = #expect(throws: FramingViolation.self) {
      try checkFraming(BrokenFraming(fault: fault), messages: messages)
    }
    #expect(violation?.law == law, "\(String(describing: violation))")
  }

  @Test func `no law is without a fault that breaks it, and no fault without its law`() {
    #expect(Set(Self.faults.map(\.fault)) == Set(BrokenFraming.Fault.allCases))
    // Time has its own test, below.
    #expect(Set(Self.faults.map(\.law)).union([.workIsLinear]) == Set(FramingViolation.Law.allCases))
  }

  @Test func `a scanner that searches anew each time is quadratic`() {
    let forgetful = TextLineFraming<String, String>(remembersSearched: false)
    let violation = #expect(throws: FramingViolation.self) {
      try checkFraming(forgetful, messages: ["a"]) { byteCount in
        String(repeating: "c", count: byteCount)
      }
    }
    #expect(violation?.law == .workIsLinear)
    #expect(violation?.messageIndex == nil)
  }

  @Test func `time is measured only when asked for, and when there is a large message`() throws {
    let forgetful = TextLineFraming<String, String>(remembersSearched: false)
    try checkFraming(forgetful, messages: ["a"])
    try checkFraming(forgetful, messages: ["a"], measuresTime: false) { byteCount in
      Issue.record("asked for a large message")
      return String(repeating: "c", count: byteCount)
    }
  }

  @Test func `the violation names the message`() {
    let violation = #expect(throws: FramingViolation.self) {
      try checkFraming(BrokenFraming(fault: .refusesItsOwn), messages: messages)
    }
    #expect(violation?.messageIndex == 1)
    #expect(violation?.offset == 1)
    #expect(
      violation?.description == """
        the framing breaks the law 'roundTrips' (message 1, offset 1): the scanner refused what was encoded, \
        000100: malformed header at byte 1
        """)
  }

  @Test func `what hostile bytes show can be seen again`() {
    func violation(seed: UInt64) -> FramingViolation? {
      #expect(throws: FramingViolation.self) {
        try checkFraming(
          BrokenFraming(fault: .refusesDependingOnChunks), messages: messages, seed: seed)
      }
    }
    #expect(violation(seed: 5) == violation(seed: 5))
    #expect(violation(seed: 5)?.messageIndex == nil)
    #expect(violation(seed: 5)?.explanation.contains("seed 5") == true)
  }

  @Test func `sides that differ are checked against each other`() throws {
    let client = TextLineFraming<Int, String>()
    try checkFraming(client, peer: client.flipped, messages: [0, 1, -1], isEqual: ==)
    try checkFraming(client.flipped, peer: client, messages: ["", "add 1 2"], isEqual: ==)
    try checkFraming(client, messages: ["0", "-1"]) { sent, received in sent == "\(received)" }

    let violation = #expect(throws: FramingViolation.self) {
      try checkFraming(client, messages: ["1", "one"]) { sent, received in sent == "\(received)" }
    }
    #expect(violation?.law == .roundTrips)
    #expect(violation?.messageIndex == 1)
  }

  /// A framing whose scanner traps on a large length.
  private struct TrappingFraming: ByteFraming {
    private static let inner = BrokenFraming(fault: nil)

    struct Scanner: FrameScanner {
      private var inner = TrappingFraming.inner.makeScanner()
      mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
        if received.count > 1 { precondition(received[0] < 0x80, "a length that fits") }
        return try inner.demand(in: received)
      }
    }

    func makeScanner() -> Scanner { Scanner() }
    func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
      try Self.inner.envelope(for: payload)
    }
  }

  @Test func `a trap leaves the bytes and the seed on standard error`() async throws {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try checkFraming(TrappingFraming(), messages: [[], [7]], seed: 5)
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    let words = try #require(
      text.split(separator: "\n").first { $0.hasPrefix("checkFraming: trap with hostile bytes ") }
    )
    .split(separator: " ")
    #expect("89abcdef".contains(words[5].first ?? " "))
    #expect(text.contains("seed 5"))

    let long = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try checkFraming(TrappingFraming(), messages: [[], payload(byteCount: 0x8000)])
    }
    let told = String(decoding: long?.standardErrorContent ?? [], as: UTF8.self)
    #expect(told.contains("checkFraming: trap with the frame of message 1, 8000"))
  }

  /// A framing whose scanner calls itself without end on a large length, as a parser of nested values may.
  private struct NestingFraming: ByteFraming {
    private static let inner = BrokenFraming(fault: nil)

    struct Scanner: FrameScanner {
      private var inner = NestingFraming.inner.makeScanner()
      mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
        if received.count > 1, received[0] >= 0x80 { return .atLeast(Self.levels(below: 0).count) }
        return try inner.demand(in: received)
      }

      @inline(never)
      private static func levels(below level: Int) -> [Int] {
        level == .max ? [] : levels(below: level + 1) + [level]
      }
    }

    func makeScanner() -> Scanner { Scanner() }
    func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
      try Self.inner.envelope(for: payload)
    }
  }

  @Test(.disabled(if: isSanitized, "a sanitizer has handlers and stacks of its own"))
  func `a full stack leaves the bytes on standard error, too`() async throws {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try checkFraming(NestingFraming(), messages: [[], [7]], seed: 5)
    }
    let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
    #expect(text.contains("checkFraming: trap with hostile bytes"), "\(text)")
    #expect(text.contains("seed 5"), "\(text)")
  }

  @Test func `a check leaves signals as they were for what comes behind it`() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try checkFraming(BrokenFraming(fault: nil), messages: [[]])
      preconditionFailure("of its own")
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(!text.contains("checkFraming: trap"))
  }

  @Test func `a seed repeats its numbers`() {
    var one = SeededGenerator(seed: 0)
    // The first outputs of SplitMix64 for seed 0, as its authors' C code prints them.
    let first: [UInt64] = [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]
    #expect((0..<3).map { _ in one.next() } == first)
  }
}
