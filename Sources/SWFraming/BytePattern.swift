/// A byte pattern to find in a stream that comes in chunks, with the automaton of Knuth, Morris and Pratt. It looks at each
/// byte of the stream once and never goes back.
///
/// ```
///   pattern   a  b  a  c         state: how many bytes of the pattern the stream ends with
///   border    0  0  1  0         after a b a, a mismatch leaves one byte matched: the last a
/// ```
///
/// While nothing is matched, memchr(3) finds the next first byte. A pattern of one byte is always searched that way.
@usableFromInline
struct BytePattern: Hashable, Sendable {
  @usableFromInline
  struct Step: Hashable, Sendable {
    let byte: UInt8
    /// The length of the longest proper part of the pattern up to this byte that is both its beginning and its end.
    let border: Int
  }

  /// The state of a search.
  @usableFromInline
  struct Search: Hashable, Sendable {
    /// Bytes before this position need not be examined again.
    @usableFromInline var position = 0
    /// The number of bytes before that position that match the beginning of the pattern.
    @usableFromInline var matched = 0

    @usableFromInline init() {}

    fileprivate init(position: Int, matched: Int) {
      self.position = position
      self.matched = matched
    }
  }

  private let first: UInt8
  /// Empty if the pattern is one byte, so a copy retains nothing.
  private let steps: [Step]

  @usableFromInline var count: Int { max(steps.count, 1) }

  @usableFromInline
  init(_ bytes: [UInt8]) {
    precondition(!bytes.isEmpty, "a delimiter has at least one byte")
    first = bytes[0]
    var steps: [Step] = []
    if bytes.count > 1 {
      var border = 0
      for (index, byte) in bytes.enumerated() {
        if index > 0 {
          while border > 0, bytes[border] != byte { border = steps[border - 1].border }
          if bytes[border] == byte { border += 1 }
        }
        steps.append(Step(byte: byte, border: border))
      }
    }
    self.steps = steps
  }

  /// Continues a search in `bytes`, which begin with the bytes that were searched before.
  ///
  /// - Returns: the end of the first occurrence. Nil if there is none yet.
  @usableFromInline
  func end(in bytes: Span<UInt8>, _ search: inout Search) -> Int? {
    // Local variables need not be written to memory for every byte.
    var (position, matched) = (search.position, search.matched)
    defer { search = Search(position: position, matched: matched) }
    while position < bytes.count {
      if matched == 0 {
        guard let start = bytes.firstIndex(of: first, from: position) else {
          position = bytes.count
          return nil
        }
        position = start + 1
        matched = 1
      } else {
        matched = self.matched(after: bytes[position], matched)
        position += 1
      }
      if matched == count { return position }
    }
    return nil
  }

  /// The number of matched bytes after one more byte, if not all bytes were matched before.
  @inline(__always)
  private func matched(after byte: UInt8, _ matched: Int) -> Int {
    var matched = matched
    while matched > 0, steps[matched].byte != byte { matched = steps[matched - 1].border }
    return steps[matched].byte == byte ? matched + 1 : 0
  }

  /// The start of the first occurrence in the payload followed by the pattern. Nil if that is right after the payload, where
  /// it belongs.
  @usableFromInline
  func earlyOccurrence(in payload: Span<UInt8>) -> Int? {
    var search = Search()
    if let end = end(in: payload, &search) { return end - count }
    for (index, step) in steps.dropLast().enumerated() {
      search.matched = matched(after: step.byte, search.matched)
      if search.matched == count { return payload.count + index + 1 - count }
    }
    return nil
  }
}
