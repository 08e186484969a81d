import SWTesting
import TestSupport
import Testing

@testable import SWMessaging

/// Frames of many pieces, which are sent in many attempts.
@Suite(.lastResort, .leavesNothing) struct OutgoingWalkTests {
  @Test func `the rest of a message keeps the array of its sender, unless little of it is left`() {
    let array = [UInt8](repeating: 7, count: 100)
    unsafe array.withUnsafeBytes { bytes in
      let borrowed = unsafe Outgoing(FrameEnvelope(), .borrowed(Outgoing.BorrowedBytes(bytes)))
      #expect(borrowed.rest(from: 10, to: 100, retaining: array).skipped == 0)
      #expect(borrowed.rest(from: 10, to: 100, retaining: nil).skipped == 10)
      #expect(borrowed.rest(from: 51, to: 100, retaining: array).skipped == 51)
    }
  }

  @Test func `an atomic send takes whole frames up to the limit, or one that is larger`() {
    let frames = [10, 5, 5, 280, 1].map { [UInt8](repeating: 7, count: $0) }
    let outgoing = Outgoing(frames, borders: [10, 15, 20, 300, 301])
    for (sent, limit, end) in [
      (0, 20, 20), (0, 19, 15), (0, 9, 10), (5, 15, 20), (5, 14, 15), (5, 4, 10), (12, 8, 20), (20, 280, 300),
      (20, 281, 301), (20, 4, 300), (299, 4, 301), (300, 4, 301),
    ] {
      #expect(outgoing.atomicEnd(from: sent, limit: limit) == end, "\(sent), \(limit)")
    }
    #expect(Outgoing(frames, borders: []).atomicEnd(from: 5, limit: 20) == 301)
  }

  @Test func `a datagram is copied only if it is small, or has too many parts`() {
    func partCount(_ pieceCount: Int, of size: Int, whole: Bool) -> Int {
      let pieces = [[UInt8]](repeating: [UInt8](repeating: 7, count: size), count: pieceCount)
      let outgoing = Outgoing(pieces, borders: [])
      var walk = Outgoing.Walk()
      var count = 0
      _ = unsafe outgoing.attempt(from: 0, to: outgoing.byteCount, &walk, whole: whole) { parts in
        count = parts.count
        return .wouldBlock
      }
      return count
    }
    #expect(partCount(3, of: 20_000, whole: true) == 3)
    #expect(partCount(3, of: 1, whole: true) == 1)
    #expect(partCount(62, of: 2_000, whole: true) == 62)
    #expect(partCount(63, of: 2_000, whole: true) == 1)
    #expect(partCount(2_000, of: 30, whole: false) > 3)
    // 512 bytes are copied, and 513 are not.
    #expect(partCount(2, of: 256, whole: false) == 1)
    #expect(partCount(3, of: 171, whole: false) == 3)
  }

  @Test func `frames are complete with their last byte`() {
    let one = Outgoing([[1, 2], [3]] as [[UInt8]], borders: [])
    #expect([0, 1, 2, 3, 4].map(one.framesCompleted) == [0, 0, 0, 1, 1])
    let three = Outgoing([[1, 2], [3], [4]] as [[UInt8]], borders: [2, 3, 4])
    #expect([0, 1, 2, 3, 4].map(three.framesCompleted) == [0, 0, 1, 2, 3])
    #expect(Outgoing([] as [[UInt8]], borders: []).framesCompleted(by: 0) == 0)
  }

  @Test func `an attempt begins at the piece where the one before it has ended`() {
    let pieces = (0..<1_000).map { [UInt8](repeating: UInt8($0 % 251), count: 20 + $0 % 7) }
    let outgoing = Outgoing(pieces, borders: [])
    let bytes = pieces.flatMap { $0 }
    var walk = Outgoing.Walk()
    var sent = 0
    while sent < bytes.count {
      let (begun, offset) = (walk.index, sent)
      let attempt = unsafe outgoing.attempt(from: sent, to: outgoing.byteCount, &walk) { parts in
        var count = 0
        for index in parts.indices {
          let part = unsafe parts[index]
          #expect(unsafe part.elementsEqual(bytes[offset + count..<offset + count + part.count]))
          count += part.count
        }
        // Within a piece, at its end, and after several.
        return .transferred(min(count, 1 + offset % 90))
      }
      guard case .transferred(let count) = attempt else { return }
      // `more` begins at the second piece.
      var (first, end) = (0, pieces[0].count)
      while end + pieces[first + 1].count <= offset {
        end += pieces[first + 1].count
        first += 1
      }
      #expect(walk.index == first && walk.index >= begun)
      sent += count
    }
    // An attempt may also begin earlier.
    let attempt = unsafe outgoing.attempt(from: 1, to: 600, &walk) { parts in
      #expect(unsafe parts[0].elementsEqual(bytes[1..<20]))
      return .transferred(1)
    }
    #expect(attempt == .transferred(1) && walk.index == 0)
  }

  @Test func `the rest of a message in arrays keeps them, unless little of it is left`() {
    let pieces = (0..<4).map { [UInt8](repeating: UInt8($0), count: 250) }
    let whole = pieces.flatMap { $0 }
    for outgoing in [Outgoing(whole), Outgoing(pieces, borders: [])] {
      #expect(outgoing.rest(from: 500, to: 1_000, retaining: nil).skipped == 0)
      for (sent, end) in [(501, 1_000), (600, 1_000), (750, 1_000), (999, 1_000), (260, 700)] {
        let (rest, skipped) = outgoing.rest(from: sent, to: end, retaining: nil)
        guard case .array(let bytes) = rest.body else {
          Issue.record("the rest is borrowed")
          return
        }
        #expect(skipped == sent && rest.byteCount == end - sent && bytes == Array(whole[sent..<end]))
        // The rest of a large message does not hold its memory.
        #expect(bytes.capacity < 1_000)
      }
    }
  }

  @Test func `a frame around a payload is one part if it is short, and else has no part too many`() {
    for (sizes, counts) in [
      ((1, 511, 0), [512]), ((1, 510, 1), [512]), ((0, 0, 0), [0]), ((1, 512, 0), [1, 512]),
      ((0, 600, 2), [0, 600, 2]), ((3, 600, 1), [3, 600, 1]),
    ] as [((Int, Int, Int), [Int])] {
      let header = [UInt8](repeating: 1, count: sizes.0)
      let payload = [UInt8](repeating: 2, count: sizes.1)
      let trailer = [UInt8](repeating: 3, count: sizes.2)
      let envelope = FrameEnvelope(header: ShortBytes(header), trailer: trailer)
      var found: [Int] = []
      var bytes: [UInt8] = []
      _ = unsafe payload.withUnsafeBytes { payload in
        unsafe envelope.gather(around: payload) { parts in
          // A part beyond those that are expected was never written, so it is not looked at.
          for index in 0..<min(parts.count, counts.count) {
            let part = unsafe parts[index]
            found.append(part.count)
            unsafe bytes += part
          }
          #expect(parts.count == counts.count, "\(sizes)")
          return .wouldBlock
        }
      }
      #expect(found == counts && bytes == header + payload + trailer, "\(sizes)")
    }
  }

  @Test func `as many datagrams leave together as fit 64 KiB, and at most 64`() {
    func frameCount(_ sizes: [Int]) -> Int {
      var borders: [Int] = []
      for size in sizes { borders.append((borders.last ?? 0) + size) }
      let outgoing = Outgoing([UInt8](repeating: 7, count: borders.last ?? 0), borders: borders)
      var walk = Outgoing.Walk()
      var count = 0
      _ = unsafe outgoing.attemptFrames(from: 0, &walk) { parts in
        count = parts.count
        return .wouldBlock
      }
      return count
    }
    #expect(frameCount([65_000, 536]) == 2)
    #expect(frameCount([65_000, 537]) == 1)
    #expect(frameCount([70_000, 1]) == 1)
    #expect(frameCount([Int](repeating: 1, count: 65)) == 64)
  }
}
