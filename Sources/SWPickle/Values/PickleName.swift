internal import SWFraming

/// The name of a class or function in a pickle, such as `os.system`: a module, and a name in that module.
public struct PickleName: Sendable {
  public let module: String
  /// The name in the module. The name of a nested class has dots.
  public let name: String

  public init(_ module: String, _ name: String) {
    self.module = module
    self.name = name
  }

  /// Whether the module is that of Python's built-in names, also as Python 2 calls it.
  var isBuiltIn: Bool { PickleText(module) == "builtins" || PickleText(module) == "__builtin__" }

  /// The name under which a registry keeps an entry. Modules that have other names in other releases have one name there.
  var canonical: PickleName {
    switch PickleText(module) {
    case "__builtin__", "exceptions": PickleName("builtins", name)
    case "copy_reg": PickleName("copyreg", name)
    // Only Python 3.13 uses this name.
    case "pathlib._local": PickleName("pathlib", name)
    case "UserDict", "UserList", "UserString": PickleName("collections", name)
    case "decimal", "datetime", "collections": self
    case "_pydecimal": PickleName("decimal", name)
    case "_pydatetime": PickleName("datetime", name)
    case "backports.zoneinfo": PickleName("zoneinfo", name)
    case let module where module.hasPrefix("numpy.core."):
      PickleName(
        "numpy._core."
          + String(decoding: self.module.utf8.dropFirst("numpy.core.".utf8.count), as: UTF8.self),
        name)
    default: self
    }
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

  /// The module, a dot, and the name. The text is safe to log: a long name is cut, and characters that cannot be
  /// printed are escaped, because a peer may choose them.
  public var description: String {
    // Decoders that try several types make this text for each of them, so no more is read than is shown.
    let isLong = module.utf8.count + name.utf8.count > 400
    let text =
      isLong
      ? "\(String(module.unicodeScalars.prefix(100))).\(String(name.unicodeScalars.prefix(100)))…"
      : "\(module).\(name)"
    // In quotes, a space does not seem to end the name.
    let isPlain = text.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7f }
    return isPlain ? text.shown(upTo: 200) : text.quoted(upTo: 200)
  }
}
