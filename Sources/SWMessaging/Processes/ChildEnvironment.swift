internal import CSysShim

/// The environment variables of a child process. Values are copied when the child is spawned: as with
/// any program that has threads, nobody may call `setenv` at that moment.
public struct ChildEnvironment: Sendable {
  private var isInherited: Bool
  private var additions: [String: String]
  private var removals: Set<String>

  /// This process's own.
  public static var inherited: ChildEnvironment { .inheriting() }

  /// This process's own, without some and with others; an addition replaces one of the same name.
  public static func inheriting(
    adding additions: [String: String] = [:], removing removals: Set<String> = []
  ) -> ChildEnvironment {
    ChildEnvironment(isInherited: true, additions: additions, removals: removals)
  }

  /// These and no others (but for the one that tells of the channel).
  public static func only(_ variables: [String: String]) -> ChildEnvironment {
    ChildEnvironment(isInherited: false, additions: variables, removals: [])
  }

  /// `NAME=value` entries, without the closing zero; those of this process byte for byte.
  ///
  /// - Parameter channel: the number of the child's descriptor. Without one the variable is taken away:
  ///   a number that this process itself was told means nothing to its child.
  func entries(channel: Int32?) -> [[UInt8]] {
    var added = additions
    added[ChildChannel.variable] = channel.map { String($0) }
    let replaced = removals.union(added.keys).union([ChildChannel.variable])
    var entries: [[UInt8]] = []
    if isInherited {
      let names = Set(replaced.map { Array($0.utf8) })
      entries = Self.current.filter { !names.contains(Array($0.prefix { $0 != Self.equalsSign })) }
    }
    for (name, value) in added.sorted(by: { $0.key < $1.key }) {
      entries.append(Array(name.utf8) + [Self.equalsSign] + Array(value.utf8))
    }
    return entries
  }

  /// The value of a variable of this process.
  static func value(of name: String) -> String? {
    let start = Array(name.utf8) + [equalsSign]
    return current.first { $0.starts(with: start) }.map {
      String(decoding: $0.dropFirst(start.count), as: UTF8.self)
    }
  }

  private static var equalsSign: UInt8 { UInt8(ascii: "=") }

  private static var current: [[UInt8]] {
    guard let environment = unsafe swsys_environment() else { return [] }
    var entries: [[UInt8]] = []
    var index = 0
    while let entry = unsafe environment[index] {
      var bytes: [UInt8] = []
      var offset = 0
      while true {
        let byte = UInt8(bitPattern: unsafe entry[offset])
        if byte == 0 { break }
        bytes.append(byte)
        offset += 1
      }
      entries.append(bytes)
      index += 1
    }
    return entries
  }
}
