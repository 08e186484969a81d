internal import CMsgPack

// Compares and sorts the keys of maps that have been written. Both read bytes that this module wrote itself, so nothing can
// be malformed.

/// The header of a value that was written here.
private struct WrittenHeader {
  /// The end of the value's own bytes. A container's own bytes are its header.
  var end: Int
  /// The number of values behind it that belong to it.
  var elements = 0
  var isMap = false

  init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
    func number(_ size: Int) -> Int {
      (1...size).reduce(0) { value, index in value << 8 | Int(unsafe bytes[offset + index]) }
    }
    end = offset + 1
    let head = unsafe bytes[offset]
    switch head {
    case 0x80...0x8f: (elements, isMap) = (2 * Int(head & 15), true)
    case 0x90...0x9f: elements = Int(head & 15)
    case 0xa0...0xbf: end += Int(head & 31)
    case 0xc4, 0xd9: end += 1 + number(1)
    case 0xc5, 0xda: end += 2 + number(2)
    case 0xc6, 0xdb: end += 4 + number(4)
    case 0xc7: end += 2 + number(1)
    case 0xc8: end += 3 + number(2)
    case 0xc9: end += 5 + number(4)
    case 0xcc, 0xd0: end += 1
    case 0xcd, 0xd1: end += 2
    case 0xca, 0xce, 0xd2: end += 4
    case 0xcb, 0xcf, 0xd3: end += 8
    case 0xd4: end += 2
    case 0xd5: end += 3
    case 0xd6: end += 5
    case 0xd7: end += 9
    case 0xd8: end += 17
    case 0xdc: (end, elements) = (end + 2, number(2))
    case 0xdd: (end, elements) = (end + 4, number(4))
    case 0xde: (end, elements, isMap) = (end + 2, 2 * number(2), true)
    case 0xdf: (end, elements, isMap) = (end + 4, 2 * number(4), true)
    default: break
    }
  }
}

extension MsgPackSink {
  /// Returns a key that occurs twice in the map that begins at a position. Returns nil if there is none.
  ///
  /// Values that were encoded separately are not among the bytes yet, and take no byte at their position.
  final func repeatedKey(inMapAt place: Int) -> String? {
    withExtendedLifetime(self) {
      let bytes = unsafe bytes
      let map = unsafe WrittenHeader(bytes, at: place)
      var position = map.end
      var part = parts.firstIndex { $0.place >= position } ?? parts.count
      /// Skips one value.
      func skip() {
        var pending = 1
        while pending > 0 {
          pending -= 1
          if part < parts.count, parts[part].place == position {
            part += 1
            continue
          }
          let header = unsafe WrittenHeader(bytes, at: position)
          position = header.end
          pending += header.elements
        }
      }
      var keys: Set<[UInt8]> = []
      for _ in 0..<(map.elements / 2) {
        let start = position
        skip()
        let key = unsafe Array(bytes[start..<position])
        if !keys.insert(key).inserted { return (try? MsgPackValue(key).shownAsKey) ?? "\(key)" }
        skip()
      }
      return nil
    }
  }

  /// Sorts the entries of each map by the bytes of their keys. All separate parts must have been inserted.
  final func sortKeys() {
    withExtendedLifetime(self) {
      let sorted = unsafe MsgPackSink(usesOldRaw: sink.pointee.uses_old_raw)
      var position = 0
      unsafe Self.copySorted(bytes, &position, to: sorted)
      withExtendedLifetime(sorted) { unsafe swap(&sink.pointee, &sorted.sink.pointee) }
    }
  }

  /// The recursion ends because the encoder has limited the depth.
  private static func copySorted(
    _ bytes: UnsafeRawBufferPointer, _ position: inout Int, to sorted: MsgPackSink
  ) {
    let header = unsafe WrittenHeader(bytes, at: position)
    unsafe sorted.append(UnsafeRawBufferPointer(rebasing: bytes[position..<header.end]))
    position = header.end
    if !header.isMap {
      for _ in 0..<header.elements { unsafe copySorted(bytes, &position, to: sorted) }
      return
    }
    var entries: [(key: [UInt8], value: [UInt8])] = []
    entries.reserveCapacity(header.elements / 2)
    for _ in 0..<(header.elements / 2) {
      let (key, value) = (MsgPackSink(), MsgPackSink())
      unsafe copySorted(bytes, &position, to: key)
      unsafe copySorted(bytes, &position, to: value)
      entries.append((key.array, value.array))
    }
    entries.sort { $0.key.lexicographicallyPrecedes($1.key) }
    for entry in entries {
      unsafe entry.key.withUnsafeBytes { unsafe sorted.append($0) }
      unsafe entry.value.withUnsafeBytes { unsafe sorted.append($0) }
    }
  }
}

extension MsgPackValue {
  /// A key as errors show it.
  fileprivate var shownAsKey: String { text ?? description }
}
