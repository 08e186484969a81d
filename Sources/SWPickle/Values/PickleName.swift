/// The name of a class or a function in a pickle, such as `os.system`: the module, and the name in it.
public struct PickleName: Sendable {
  public let module: String
  /// May have dots, as the name of a class inside a class has.
  public let name: String

  public init(_ module: String, _ name: String) {
    self.module = module
    self.name = name
  }
}

extension PickleName: Hashable, CustomStringConvertible {
  public static func == (a: PickleName, b: PickleName) -> Bool {
    a.name.hasSameBytes(as: b.name) && a.module.hasSameBytes(as: b.module)
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(PickleText(module))
    hasher.combine(PickleText(name))
  }

  /// Both, and a dot between them; a long name is cut, and what cannot be printed is escaped: it comes from the peer.
  public var description: String {
    let text = "\(module).\(name)"
    let cut = text.utf8.count <= 200 ? text : "\(String(text.unicodeScalars.prefix(100)))…"
    return cut.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7f } ? cut : cut.debugDescription
  }
}
