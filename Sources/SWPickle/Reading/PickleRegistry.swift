/// Which names a pickle may use, and what is made of them.
///
/// A pickle names classes and functions, and Python calls what it names: that is how a pickle runs `os.system`. Here
/// nothing is looked up and nothing is called. A name that is not registered is refused with an error that
/// says which.
///
/// ```swift
/// var registry = PickleRegistry.standard
/// registry.register("app.models", "User")                      // a PickleObject, also for PickleDecoder
/// registry.register("app.models", "Point") { point in          // something else
///   .tuple(point.arguments)
/// }
/// ```
public struct PickleRegistry: Sendable {
  /// Makes a value of what a pickle says of an object. What it throws ends the reading. It may be called for
  /// every such object of a pickle, on whatever thread reads.
  public typealias Reader = @Sendable (PickleObject) throws -> PickleValue

  enum Entry: Sendable {
    case builtIn(PickleBuiltIn)
    case object(Reader?)
  }

  private var entries: [PickleName: Entry]

  /// Nothing at all: pickles that name anything are refused, and with them bytes in protocols 0 to 2, sets in
  /// protocols 0 to 3 and bytearrays in protocols 0 to 4.
  public static let empty = PickleRegistry(entries: [:])

  /// What Python's plain values need: set, frozenset, bytes, bytearray and complex in the protocols that write
  /// them by name; datetime, date, time, timedelta and timezone; Decimal, UUID and OrderedDict; NumPy's arrays and
  /// scalars of plain numbers.
  public static let standard: PickleRegistry = {
    var entries: [PickleName: Entry] = [:]
    for builtIn in PickleBuiltIn.allCases {
      for name in builtIn.names { entries[name] = .builtIn(builtIn) }
    }
    return PickleRegistry(entries: entries)
  }()

  /// Lets pickles use a name; what they say of such an object is kept as a ``PickleObject``, or handed to a reader.
  ///
  /// A reader is called when the whole pickle is read, for the objects in the order in which they were completed;
  /// so it sees what readers made of the objects inside, except where objects contain each other. Registering a
  /// name again replaces what it was registered for.
  ///
  /// - Parameters:
  ///   - module: the module as the pickle has it, such as `pathlib`.
  ///   - name: the name in that module, dots included if there are any.
  public mutating func register(_ module: String, _ name: String, reader: Reader? = nil) {
    entries[PickleName(module, name)] = .object(reader)
  }

  /// The same with a name registered.
  public func registering(_ module: String, _ name: String, reader: Reader? = nil) -> PickleRegistry {
    var registry = self
    registry.register(module, name, reader: reader)
    return registry
  }

  /// Takes a name out, such as one of the standard ones.
  public mutating func remove(_ module: String, _ name: String) {
    entries[PickleName(module, name)] = nil
  }

  subscript(name: PickleName) -> Entry? { entries[name] }
}

/// The names that are understood out of the box.
enum PickleBuiltIn: CaseIterable, Sendable {
  case set
  case frozenSet
  case bytes
  case byteArray
  case complex
  /// `_codecs.encode`: bytes as a str of as many characters, before Python 3 had an opcode for them.
  case encode
  /// `copyreg._reconstructor`: an object, before there was an opcode for it.
  case reconstructor
  /// What the former is told to start from.
  case object
  case orderedDict
  case date
  case time
  case dateTime
  case timeDelta
  case timeZone
  case decimal
  case uuid
  case array
  case arrayReconstructor
  case arrayFromBuffer
  case arrayType
  case arrayScalar

  /// Each as pickles have it: Python 2 and 3, and NumPy 1 and 2, name modules differently.
  var names: [PickleName] {
    switch self {
    case .set: Self.names(["builtins", "__builtin__"], "set")
    case .frozenSet: Self.names(["builtins", "__builtin__"], "frozenset")
    case .bytes: Self.names(["builtins", "__builtin__"], "bytes")
    case .byteArray: Self.names(["builtins", "__builtin__"], "bytearray")
    case .complex: Self.names(["builtins", "__builtin__"], "complex")
    case .encode: Self.names(["_codecs"], "encode")
    case .reconstructor: Self.names(["copyreg", "copy_reg"], "_reconstructor")
    case .object: Self.names(["builtins", "__builtin__"], "object")
    case .orderedDict: Self.names(["collections"], "OrderedDict")
    case .date: Self.names(["datetime"], "date")
    case .time: Self.names(["datetime"], "time")
    case .dateTime: Self.names(["datetime"], "datetime")
    case .timeDelta: Self.names(["datetime"], "timedelta")
    case .timeZone: Self.names(["datetime"], "timezone")
    case .decimal: Self.names(["decimal"], "Decimal")
    case .uuid: Self.names(["uuid"], "UUID")
    case .array: Self.names(["numpy"], "ndarray")
    case .arrayReconstructor:
      Self.names(["numpy.core.multiarray", "numpy._core.multiarray"], "_reconstruct")
    case .arrayFromBuffer: Self.names(["numpy.core.numeric", "numpy._core.numeric"], "_frombuffer")
    case .arrayType: Self.names(["numpy"], "dtype")
    case .arrayScalar: Self.names(["numpy.core.multiarray", "numpy._core.multiarray"], "scalar")
    }
  }

  private static func names(_ modules: [String], _ name: String) -> [PickleName] {
    modules.map { PickleName($0, name) }
  }
}
