// The texts of pathlib's paths. Up to Python 3.12 a pickle has the parts of a path; from 3.13 on it has the arguments with
// which the program made it, and Python joins them when it reads the pickle.
//
// Source: CPython 3.13, `Lib/pathlib/_local.py` (`PurePath._parse_path`, `_format_parsed_parts`), `Lib/posixpath.py` and
// `Lib/ntpath.py` (`join`, `splitroot`).

extension PickleObject {
  /// Which system's path it is, if it is one of pathlib's.
  var pathFlavor: PicklePathFlavor? {
    guard let name = name?.canonical, PickleText(name.module) == "pathlib" else { return nil }
    switch PickleText(name.name) {
    case "PosixPath", "PurePosixPath", "Path", "PurePath": return .posix
    case "WindowsPath", "PureWindowsPath": return .windows
    default: return nil
    }
  }

  /// The text of a path of one of pathlib's classes, as Python's `str` returns it.
  var path: String? {
    guard let flavor = pathFlavor else { return nil }
    var parts: [[UInt8]] = []
    for part in arguments {
      guard let text = part.text else { return nil }
      parts.append(Array(text.utf8))
    }
    return String(decoding: flavor.normalized(flavor.joined(parts)), as: UTF8.self)
  }
}

enum PicklePathFlavor {
  case posix
  case windows

  /// A path in three parts. On POSIX the drive is empty.
  private typealias Split = (drive: ArraySlice<UInt8>, root: ArraySlice<UInt8>, rest: ArraySlice<UInt8>)

  private static let slash = UInt8(ascii: "/")
  private static let backslash = UInt8(ascii: "\\")
  private static let colon = UInt8(ascii: ":")

  private var separator: UInt8 { self == .posix ? Self.slash : Self.backslash }

  private func isSeparator(_ byte: UInt8) -> Bool {
    byte == Self.slash || (self == .windows && byte == Self.backslash)
  }

  // MARK: Splitting

  private func split(_ path: [UInt8]) -> Split { self == .posix ? splitPosix(path) : splitWindows(path) }

  private func splitPosix(_ path: [UInt8]) -> Split {
    let slashes = path.prefix { $0 == Self.slash }.count
    // Two slashes, and not one or three, may mean something else to a system.
    let rootCount = slashes == 2 ? 2 : min(slashes, 1)
    return ([], path[..<rootCount], path[rootCount...])
  }

  private func splitWindows(_ path: [UInt8]) -> Split {
    guard let first = path.first else { return ([], [], []) }
    if isSeparator(first) {
      guard path.count > 1, isSeparator(path[1]) else { return ([], path[..<1], path[1...]) }
      // \\server\share, \\.\device, or \\?\UNC\server\share. Two more separators end the drive.
      let start = hasUNCPrefix(path) ? 8 : 2
      guard start <= path.count, let server = path[start...].firstIndex(where: isSeparator),
        let share = path[(server + 1)...].firstIndex(where: isSeparator)
      else { return (path[...], [], []) }
      return (path[..<share], path[share...share], path[(share + 1)...])
    }
    // The letter of a drive is any character.
    let letter = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    guard path.count > letter, path[letter] == Self.colon else { return ([], [], path[...]) }
    let end = letter + 1
    guard path.count > end, isSeparator(path[end]) else { return (path[..<end], [], path[end...]) }
    return (path[..<end], path[end...end], path[(end + 1)...])
  }

  private func hasUNCPrefix(_ path: [UInt8]) -> Bool {
    guard path.count >= 8 else { return false }
    return zip(path, #"\\?\UNC\"#.utf8).allSatisfy { byte, expected in
      expected == Self.backslash
        ? isSeparator(byte) : byte == expected || byte == expected | 0x20 && byte != 0x3f
    }
  }

  // MARK: Joining

  /// The result of `os.path.join`.
  func joined(_ parts: [[UInt8]]) -> [UInt8] {
    guard let first = parts.first else { return [] }
    return self == .posix ? joinedPosix(first, parts.dropFirst()) : joinedWindows(first, parts.dropFirst())
  }

  private func joinedPosix(_ first: [UInt8], _ parts: ArraySlice<[UInt8]>) -> [UInt8] {
    var path = first
    for part in parts {
      if part.first == Self.slash {
        path = part
      } else {
        if let last = path.last, last != Self.slash { path.append(Self.slash) }
        path += part
      }
    }
    return path
  }

  private func joinedWindows(_ first: [UInt8], _ parts: ArraySlice<[UInt8]>) -> [UInt8] {
    let start = splitWindows(first)
    var (drive, root, path) = (start.drive, start.root, Array(start.rest))
    for part in parts {
      let next = splitWindows(part)
      if !next.root.isEmpty {
        if !next.drive.isEmpty || drive.isEmpty { drive = next.drive }
        (root, path) = (next.root, Array(next.rest))
        continue
      }
      if !next.drive.isEmpty, next.drive != drive {
        let isSame = lowercased(next.drive) == lowercased(drive)
        drive = next.drive
        if !isSame {
          (root, path) = (next.root, Array(next.rest))
          continue
        }
      }
      if let last = path.last, !isSeparator(last) { path.append(Self.backslash) }
      path += next.rest
    }
    if !path.isEmpty, root.isEmpty, let last = drive.last, last != Self.colon, !isSeparator(last) {
      return drive + [Self.backslash] + path
    }
    return drive + root + path
  }

  private func lowercased(_ drive: ArraySlice<UInt8>) -> PickleText {
    PickleText(String(decoding: drive, as: UTF8.self).lowercased())
  }

  // MARK: Normalizing

  /// The path without empty parts, parts that are a dot, and a separator at its end.
  func normalized(_ path: [UInt8]) -> [UInt8] {
    let path = self == .posix ? path : path.map { $0 == Self.slash ? Self.backslash : $0 }
    var (drive, root, rest) = split(path)
    if root.isEmpty, drive.first == separator, drive.last != separator {
      let parts = drive.split(separator: separator, omittingEmptySubsequences: false)
      let isDevice =
        parts.count > 2 && (parts[2].isEmpty || [[0x3f], [0x2e], [0x3f, 0x2e]].contains(Array(parts[2])))
      if parts.count == 4 && !isDevice || parts.count == 6 { root = [separator] }
    }
    let names = rest.split(separator: separator).filter { $0 != [UInt8(ascii: ".")] }
    var result = Array(drive + root)
    // Without the dot, the name would be that of a drive.
    if result.isEmpty, let first = names.first, !split(Array(first)).drive.isEmpty {
      result += [UInt8(ascii: "."), separator]
    }
    result += names.joined(separator: [separator])
    return result.isEmpty ? [UInt8(ascii: ".")] : result
  }
}
