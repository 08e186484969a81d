internal import SWIO
internal import SystemPackage

/// The user namespace of this process, as far as it concerns the ids of peers.
///
/// The kernel reports every user who has no id in this namespace with one and the same id: the overflow id, which is usually
/// 65534. The same holds for groups. So in a namespace that does not map all ids, the overflow id proves nothing.
///
/// Source: user_namespaces(7), "Unmapped user and group IDs".
package enum UserNamespace {
  package enum Kind: String, Sendable {
    case user = "uid"
    case group = "gid"
  }

  private static let overflowUser = overflowID(.user)
  private static let overflowGroup = overflowID(.group)

  /// Whether the id may stand for users, or groups, that have no id here. Without `/proc` that cannot be told, and the overflow
  /// id counts as ambiguous.
  static func isAmbiguous(_ id: UInt32, _ kind: Kind) -> Bool {
    guard id == (kind == .user ? overflowUser : overflowGroup) else { return false }
    return !mapsAll(text(of: "/proc/self/\(kind.rawValue)_map"))
  }

  /// Whether a map of ids, as `/proc/self/uid_map` has it, maps all ids that there are.
  package static func mapsAll(_ map: String) -> Bool {
    let counts = map.split(separator: "\n").map { line in
      line.split(separator: " ").last.flatMap { UInt64($0) } ?? 0
    }
    // The id 4294967295 is none.
    return counts.reduce(0, +) >= UInt64(UInt32.max)
  }

  private static func overflowID(_ kind: Kind) -> UInt32 {
    let text = text(of: "/proc/sys/kernel/overflow\(kind.rawValue)")
    return text.split(separator: "\n").first.flatMap { UInt32($0) } ?? 65_534
  }

  /// Returns the text of a short file; an empty one if it cannot be read.
  private static func text(of path: String) -> String {
    guard let file = try? FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec) else {
      return ""
    }
    defer { try? file.close() }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe (try? file.read(into: $0)) ?? 0 }
    return String(decoding: bytes.prefix(count), as: UTF8.self)
  }
}
