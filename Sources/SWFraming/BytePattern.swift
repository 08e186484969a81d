/// A byte pattern to be searched in a stream that comes in chunks: Knuth, Morris and Pratt's automaton, which
/// looks at each byte of the stream once and never goes back.
///
/// ```
///   pattern   a  b  a  c         state: how many bytes of the pattern the stream ends with
///   border    0  0  1  0         after a b a, a mismatch leaves one byte matched: the last a
/// ```
///
/// Where nothing is matched the next first byte is searched at the speed of memchr(3); a pattern of one byte
/// is never searched in another way.
@usableFromInline
struct BytePattern: Hashable, Sendable {
  @usableFromInline
  struct Step: Hashable, Sendable {
    let byte: UInt8
    /// Of the pattern up to and with this byte: the length of the longest part that it both begins and ends
    /// with, itself excepted.
    let border: Int
  }

  /// How far a search has come.
  @usableFromInline
  struct Search: Hashable, Sendable {
    /// Bytes before this one need not be looked at again.
    @usableFromInline var position = 0
    /// So many bytes before it are the beginning of the pattern.
    @usableFromInline var matched = 0

    @usableFromInline init() {}

    fileprivate init(position: Int, matched: Int) {
      self.position = position
      self.matched = matched
    }
  }

  private let first: UInt8
  /// Empty where the pattern is one byte: a copy then counts no reference.
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

  /// Goes on searching in `bytes`, which begin with what was searched before.
  ///
  /// - Returns: where the first occurrence ends; `nil`: not yet there.
  @usableFromInline
  func end(in bytes: Span<UInt8>, _ search: inout Search) -> Int? {
    // In variables of its own, which need not be written to memory at every byte.
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

  /// How much is matched after one more byte, if so much was before it, though not all.
  @inline(__always)
  private func matched(after byte: UInt8, _ matched: Int) -> Int {
    var matched = matched
    while matched > 0, steps[matched].byte != byte { matched = steps[matched - 1].border }
    return steps[matched].byte == byte ? matched + 1 : 0
  }

  /// Where in `payload`, or where it and the pattern meet, the first occurrence in payload and pattern
  /// together begins; `nil` if that is after the payload, where it belongs.
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
