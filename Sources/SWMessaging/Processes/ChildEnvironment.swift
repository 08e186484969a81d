internal import CSysShim
internal import SWIO
internal import SystemPackage

/// The environment variables of a child process.
///
/// A name is not empty and has no `=` in it, and neither name nor value has a NUL: a spawn with such a variable fails
/// with EINVAL. Values are copied when the child is spawned. No thread may call `setenv` at that moment, as in any
/// program with several threads.
public struct ChildEnvironment: Hashable, Sendable {
  private var isInherited: Bool
  private var additions: [String: String]
  private var removals: Set<String>

  /// This process's own variables, but for those in ``channelVariables``.
  public static var inherited: ChildEnvironment { .inheriting() }

  /// This process's own variables, but for those in ``channelVariables``, without some and with others. An addition
  /// replaces a variable of the same name, and it may be one of ``channelVariables``.
  public static func inheriting(
    adding additions: [String: String] = [:], removing removals: Set<String> = []
  ) -> ChildEnvironment {
    ChildEnvironment(isInherited: true, additions: additions, removals: removals)
  }

  /// These variables and no others, but for the one that tells of the channel.
  public static func only(_ variables: [String: String]) -> ChildEnvironment {
    ChildEnvironment(isInherited: false, additions: variables, removals: [])
  }

  /// The variables that are not inherited, because they name descriptors of this process, which mean nothing to a
  /// child: its parent's channels (`SOCKETWRAPPER_FD`; Node's `NODE_CHANNEL_FD`), sockets that systemd has passed to
  /// it, a Wayland connection.
  public static var channelVariables: Set<String> {
    [
      ChildChannel.variable, "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NODE_UNIQUE_ID",
      "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID", "WAYLAND_SOCKET",
    ]
  }

  /// Returns `NAME=value` entries without the closing NUL. Inherited entries are copied byte for byte.
  ///
  /// - Parameter channel: the number of the child's descriptor. If it is nil, the variable is removed.
  /// - Throws: `EndpointError` `spawn` with EINVAL for an invalid name or value.
  func entries(channel: Int32?) throws(EndpointError) -> [[UInt8]] {
    var added = additions
    added[ChildChannel.variable] = channel.map { String($0) }
    var entries: [[UInt8]] = []
    if isInherited {
      // Strings with different bytes can be equal, and name different variables.
      let names = Set(
        [Array(removals), Array(added.keys), Array(Self.channelVariables)].joined().map { Array($0.utf8) })
      entries = Self.current.filter { !names.contains(Array($0.prefix { $0 != Self.equalsSign })) }
    }
    for (name, value) in added.sorted(by: { $0.key < $1.key }) {
      let bytes = (name: Array(name.utf8), value: Array(value.utf8))
      let fault: String? =
        if bytes.name.isEmpty {
          "an environment variable without a name"
        } else if bytes.name.contains(Self.equalsSign) {
          "the name of the environment variable \"\(name)\" contains \"=\""
        } else if bytes.name.contains(0) || bytes.value.contains(0) {
          "the environment variable \"\(name)\" contains a NUL"
        } else {
          nil
        }
      if let fault { throw EndpointError(spawning: .invalidArgument, fault) }
      entries.append(bytes.name + [Self.equalsSign] + bytes.value)
    }
    return entries
  }

  /// Returns the value of a variable of this process.
  static func value(of name: String) -> String? {
    bytes(of: name, in: current).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Returns the value of the first entry of that name.
  static func bytes(of name: String, in entries: [[UInt8]]) -> [UInt8]? {
    let start = Array(name.utf8) + [equalsSign]
    return entries.first { $0.starts(with: start) }.map { Array($0.dropFirst(start.count)) }
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
