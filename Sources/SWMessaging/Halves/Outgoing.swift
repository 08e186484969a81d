internal import SWFraming
internal import SWIO

/// The bytes of one frame, or of a batch of frames, as the sending half hands them to the transport.
package struct Outgoing: Sendable {
  package enum Body: Sendable {
    case array([UInt8])
    /// The caller's memory, lent until its call returns.
    // Invariant: the caller is inside its call as long as its place is undecided. A task's bytes are copied before it parks.
    case borrowed(BorrowedBytes)
  }

  @safe
  // Invariant: read only, and only while it is lent.
  package struct BorrowedBytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    package init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = unsafe bytes }
  }

  var header: ShortBytes
  var body: Body
  var trailer: [UInt8]
  /// The pieces that follow. None of them is empty.
  var more: [[UInt8]]
  package let byteCount: Int
  /// Where the frames of a batch end, counted from the batch's start. Empty for a single frame.
  var borders: [Int] = []

  /// Makes a frame around the caller's memory.
  package init(_ envelope: FrameEnvelope, _ body: Body) {
    header = envelope.header
    trailer = envelope.trailer
    self.body = body
    more = []
    let bodyCount = unsafe body.withBytes { $0.count }
    byteCount = header.count + bodyCount + trailer.count
  }

  /// Makes one frame in parts, or several frames in sequence.
  init(_ parts: consuming FrameParts, borders: [Int] = []) {
    self.init(parts.finish(), borders: borders)
  }

  init(_ chunks: [[UInt8]], borders: [Int]) {
    header = ShortBytes()
    trailer = []
    body = .array(chunks.first ?? [])
    more = Array(chunks.dropFirst())
    byteCount = chunks.reduce(0) { $0 + $1.count }
    self.borders = borders
  }

  /// Makes raw bytes, or frames in sequence.
  package init(_ bytes: [UInt8], borders: [Int] = []) {
    header = ShortBytes()
    trailer = []
    body = .array(bytes)
    more = []
    byteCount = bytes.count
    self.borders = borders
  }

  /// Where an attempt that starts at `sent` ends, if writes above `limit` may interleave with those of other writers. The
  /// attempt takes whole frames up to the limit, or one frame that is larger.
  func atomicEnd(from sent: Int, limit: Int) -> Int {
    guard !borders.isEmpty else { return byteCount }
    var end = nextBorder(after: sent)
    for border in borders[index(after: sent)...] {
      guard border - sent <= limit else { break }
      end = border
    }
    return end
  }

  /// The end of the frame that contains byte `sent`.
  func nextBorder(after sent: Int) -> Int {
    borders.isEmpty || sent >= byteCount ? byteCount : borders[index(after: sent)]
  }

  /// The number of whole frames before byte `sent`.
  func framesCompleted(by sent: Int) -> Int {
    if byteCount == 0 { return 0 }  // a flush, or nothing to send
    if sent >= byteCount { return max(borders.count, 1) }
    return borders.isEmpty ? 0 : index(after: sent)
  }

  private func index(after sent: Int) -> Int {
    var (low, high) = (0, borders.count)
    while low < high {
      let middle = (low + high) / 2
      if borders[middle] > sent { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// Where an attempt has to begin, so that a frame of many pieces is walked over once, and not once for each attempt.
  package struct Walk: Sendable {
    /// The first piece of `more` that has not been sent, and where it begins in the frame.
    package fileprivate(set) var index = 0
    fileprivate var offset = 0
  }

  /// The number of bytes before `more`.
  private var frontCount: Int { header.count + (unsafe body.withBytes { $0.count }) + trailer.count }

  private func advance(_ walk: inout Walk, to sent: Int) {
    if walk.index == 0 || walk.offset > sent { (walk.index, walk.offset) = (0, frontCount) }
    while walk.index < more.count, walk.offset + more[walk.index].count <= sent {
      walk.offset += more[walk.index].count
      walk.index += 1
    }
  }

  /// Makes one attempt on the bytes from `sent` to `end`.
  ///
  /// - Parameters:
  ///   - walk: where the attempt before it has begun.
  ///   - whole: whether the attempt is to have all of them, because they are a datagram. They are copied if they have
  ///     too many parts.
  package func attempt(
    from sent: Int, to end: Int, _ walk: inout Walk, whole: Bool = false,
    by send: (UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt
  ) -> Attempt {
    let remaining = end - sent
    if !more.isEmpty { advance(&walk, to: sent) }
    let start = walk
    // Few bytes are gathered on the stack, because one copy is cheaper than a system call with three parts.
    if remaining <= Self.mostCopied || (whole && more.count + 3 > Self.mostParts) {
      return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: max(remaining, 1)) { scratch in
        unsafe copy(from: sent, start, into: UnsafeMutableBufferPointer(rebasing: scratch[..<remaining]))
        return unsafe UnsafeRawBufferPointer(start: scratch.baseAddress, count: remaining).asOnlyPart(send)
      }
    }
    return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: header.count + 1) {
      scratch in
      unsafe withUnsafeTemporaryAllocation(of: UnsafeRawBufferPointer.self, capacity: Self.mostParts) {
        parts in
        var count = 0
        var offset = 0
        func add(_ bytes: UnsafeRawBufferPointer) {
          let from = max(sent - offset, 0)
          let to = min(end - offset, bytes.count)
          if from < to, count < Self.mostParts {
            unsafe parts.initializeElement(at: count, to: UnsafeRawBufferPointer(rebasing: bytes[from..<to]))
            count += 1
          }
          offset += bytes.count
        }
        // Invariant: the arrays live in `self`, which outlives the attempt, and are not changed meanwhile.
        if let start = scratch.baseAddress { unsafe header.copy(to: start) }
        unsafe add(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<header.count]))
        unsafe body.withBytes { bytes in unsafe add(bytes) }
        unsafe trailer.withUnsafeBytes { bytes in unsafe add(bytes) }
        var index = start.index
        offset = start.offset
        while index < more.count, count < Self.mostParts, offset < end {
          unsafe more[index].withUnsafeBytes { bytes in unsafe add(bytes) }
          index += 1
        }
        return unsafe send(UnsafeBufferPointer(start: parts.baseAddress, count: count))
      }
    }
  }

  /// Makes one attempt on whole frames of a batch from `sent` on, each as a part of its own. For datagrams.
  func attemptFrames(
    from sent: Int, _ walk: inout Walk, by send: (UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt
  ) -> Attempt {
    if !more.isEmpty { advance(&walk, to: sent) }
    let begin = walk
    let first = index(after: sent)
    var last = first + 1
    while last < borders.count, last - first < Self.mostParts, borders[last] - sent <= Self.mostGathered {
      last += 1
    }
    let byteCount = borders[last - 1] - sent
    return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: byteCount) { block in
      unsafe copy(from: sent, begin, into: UnsafeMutableBufferPointer(rebasing: block[..<byteCount]))
      return unsafe withUnsafeTemporaryAllocation(of: UnsafeRawBufferPointer.self, capacity: last - first) {
        parts in
        var start = sent
        for index in first..<last {
          let address = unsafe block.baseAddress?.advanced(by: start - sent)
          unsafe parts.initializeElement(
            at: index - first, to: UnsafeRawBufferPointer(start: address, count: borders[index] - start))
          start = borders[index]
        }
        return unsafe send(UnsafeBufferPointer(rebasing: parts[..<(last - first)]))
      }
    }
  }

  private static var mostParts: Int { 64 }
  /// The most bytes of datagrams that are copied for one system call.
  private static var mostGathered: Int { 65_536 }
  /// The most bytes that are copied instead of passed by address.
  static var mostCopied: Int { 512 }

  /// Copies the bytes from `sent` on, as many as fit.
  ///
  /// - Parameter walk: where to begin, no later than at `sent`.
  func copy(from sent: Int, _ walk: Walk = Walk(), into target: UnsafeMutableBufferPointer<UInt8>) {
    var offset = 0
    var filled = 0
    func add(_ bytes: UnsafeRawBufferPointer) {
      let from = max(sent - offset, 0)
      let count = min(bytes.count - from, target.count - filled)
      if count > 0 {
        unsafe UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(target)[filled...])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[from..<from + count]))
        filled += count
      }
      offset += bytes.count
    }
    header.withBytes { span in unsafe span.withUnsafeBytes { unsafe add($0) } }
    unsafe body.withBytes { unsafe add($0) }
    unsafe trailer.withUnsafeBytes { unsafe add($0) }
    var index = walk.index
    if index > 0 { offset = walk.offset }
    while index < more.count, filled < target.count {
      unsafe more[index].withUnsafeBytes { unsafe add($0) }
      index += 1
    }
  }

  /// Whether it refers to the caller's memory.
  var isBorrowed: Bool {
    if case .borrowed = body { return true }
    return false
  }

  /// Returns the same bytes in owned memory. Arrays are retained, so only borrowed bytes are copied.
  func owned(retaining array: [UInt8]?) -> Outgoing {
    guard isBorrowed else { return self }
    var owned = self
    if let array {
      owned.body = .array(array)
    } else {
      owned.body = unsafe .array(body.withBytes { unsafe Array($0) })
    }
    return owned
  }

  /// Returns the bytes from `sent` to `end` in owned memory. An array is retained if it takes at most twice the memory of a
  /// copy.
  func rest(from sent: Int, to end: Int, retaining array: [UInt8]?) -> (outgoing: Outgoing, skipped: Int) {
    if end == byteCount, sent <= byteCount / 2, !isBorrowed || array != nil {
      return (owned(retaining: array), 0)
    }
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: end - sent) { memory, count in
      unsafe copy(from: sent, into: UnsafeMutableBufferPointer(rebasing: memory[..<(end - sent)]))
      count = end - sent
    }
    return (Outgoing(bytes), sent)
  }
}

extension UnsafeRawBufferPointer {
  /// Passes the bytes to `send` as its only part.
  @inline(__always)
  func asOnlyPart<Result>(_ send: (UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Result) -> Result {
    unsafe withUnsafePointer(to: self) { unsafe send(UnsafeBufferPointer(start: $0, count: 1)) }
  }
}

extension FrameEnvelope {
  /// Passes the whole frame around a payload to `send`.
  func gather(
    around payload: UnsafeRawBufferPointer, by send: (UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt
  ) -> Attempt {
    let short = header.count + trailer.count
    // As in `Outgoing.attempt`, few bytes are copied.
    let copied = short + payload.count <= Outgoing.mostCopied ? payload.count : 0
    return unsafe withUnsafeTemporaryAllocation(byteCount: short + copied + 1, alignment: 1) { scratch in
      unsafe withUnsafeTemporaryAllocation(of: UnsafeRawBufferPointer.self, capacity: 3) { parts in
        if let start = scratch.baseAddress { unsafe header.copy(to: start) }
        unsafe trailer.withUnsafeBytes { bytes in
          unsafe UnsafeMutableRawBufferPointer(rebasing: scratch[(header.count + copied)...])
            .copyMemory(from: bytes)
        }
        let start = scratch.baseAddress
        if copied == payload.count {
          unsafe UnsafeMutableRawBufferPointer(rebasing: scratch[header.count...]).copyMemory(from: payload)
          unsafe parts.initializeElement(
            at: 0, to: UnsafeRawBufferPointer(start: start, count: short + copied))
          return unsafe send(UnsafeBufferPointer(rebasing: parts[..<1]))
        }
        unsafe parts.initializeElement(at: 0, to: UnsafeRawBufferPointer(start: start, count: header.count))
        unsafe parts.initializeElement(at: 1, to: payload)
        if trailer.isEmpty { return unsafe send(UnsafeBufferPointer(rebasing: parts[..<2])) }
        unsafe parts.initializeElement(
          at: 2,
          to: UnsafeRawBufferPointer(start: start?.advanced(by: header.count), count: trailer.count))
        return unsafe send(UnsafeBufferPointer(rebasing: parts[...]))
      }
    }
  }
}

extension Outgoing.Body {
  @inline(__always)
  func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    switch self {
    case .array(let bytes): unsafe bytes.withUnsafeBytes { unsafe body($0) }
    case .borrowed(let borrowed): unsafe body(borrowed.bytes)
    }
  }
}
