/// The classes and functions that are interpreted when a pickle is read, and what each of them becomes.
///
/// A pickle names classes and functions, and Python calls them: that is how a pickle runs `os.system`. This library
/// never looks up a name and never calls anything. A class or function that is not interpreted becomes a
/// ``PickleObject``, which says what Python would do. A strict registry refuses it by name instead.
///
/// ```swift
/// var registry = PickleRegistry.standard
/// registry.register("app.models", "Point") { point in        // a tuple instead of a PickleObject
///   .tuple(point.arguments)
/// }
/// var strict = PickleRegistry.strict
/// strict.register("app.models", "User")                      // the only class that may appear
/// ```
public struct PickleRegistry: Sendable {
  /// Makes a value from a pickle's description of an object. An error that it throws ends the reading.
  ///
  /// It is called for every object of its name, on the thread that reads, and by several threads at once if they
  /// read at once. A reader that keeps a ``PickleObject`` beyond the call keeps a copy of all objects of the
  /// pickle; each copy counts against ``PickleLimits/memory``. Keep values taken out of it instead.
  public typealias Reader = @Sendable (PickleObject) throws -> PickleValue

  enum Entry: Sendable {
    case builtIn(PickleBuiltIn)
    case object(Reader?)
  }

  /// The interpretation of a str that Python 2 pickled, whose encoding the pickle does not give; like the
  /// `encoding` argument of Python's `pickle.loads`.
  public struct Python2Strings: Hashable, Sendable {
    enum Storage: Sendable { case ascii, latin1, bytes }
    let storage: Storage

    /// A str; a byte that is not ASCII is an error. This is Python's default.
    public static let ascii = Python2Strings(storage: .ascii)
    /// A str with one character for each byte. Python needs this for NumPy arrays and datetimes that Python 2
    /// pickled.
    public static let latin1 = Python2Strings(storage: .latin1)
    /// Bytes.
    public static let bytes = Python2Strings(storage: .bytes)
  }

  private var entries: [PickleName: Entry]

  /// Whether NumPy's names are those of the standard registry.
  private(set) var readsArrays: Bool

  /// Whether names that are not registered are refused instead of becoming a ``PickleObject``. A strict registry also
  /// refuses a str with a lone surrogate, and a call of a standard name with unusual arguments.
  public var isStrict: Bool

  /// The interpretation of strs that Python 2 pickled.
  public var python2Strings = Python2Strings.ascii

  /// A registry without any name. It also refuses bytes in protocols 0 to 2, sets in protocols 0 to 3, and
  /// bytearrays in protocols 0 to 4, because those protocols write them by name.
  public static let empty = PickleRegistry(entries: [:], readsArrays: false, isStrict: true)

  /// A registry that interprets Python's plain values: set, frozenset, bytes, bytearray and complex in the
  /// protocols that write them by name; datetime, date, time, timedelta and timezone; Decimal, UUID and
  /// OrderedDict; NumPy arrays, scalars and dtypes. Any other object becomes a ``PickleObject``.
  public static let standard: PickleRegistry = {
    var entries: [PickleName: Entry] = [:]
    for builtIn in PickleBuiltIn.allCases {
      for name in builtIn.names { entries[name] = .builtIn(builtIn) }
    }
    return PickleRegistry(entries: entries, readsArrays: true, isStrict: false)
  }()

  /// A registry that interprets the same names as ``standard`` and refuses all others.
  public static let strict: PickleRegistry = {
    var registry = PickleRegistry.standard
    registry.isStrict = true
    return registry
  }()

  /// Registers a name. An object of that name becomes a ``PickleObject``, or the value that the reader returns for
  /// it.
  ///
  /// Readers are called after the whole pickle has been read, for objects in the order in which they were
  /// completed. A reader therefore sees the results of other readers inside its object, unless objects contain each
  /// other. Registering a name again replaces the earlier registration. A module that has different names in
  /// different releases of Python or NumPy is registered under all of them: `pathlib` is `pathlib._local` in 3.13,
  /// and `builtins` is `__builtin__` in 2.7.
  ///
  /// - Parameters:
  ///   - module: the module as the pickle names it, such as `pathlib`.
  ///   - name: the name in that module, with dots if it has any.
  ///   - reader: makes the value; nil keeps the ``PickleObject``.
  public mutating func register(_ module: String, _ name: String, reader: Reader? = nil) {
    set(PickleName(module, name).canonical, .object(reader))
  }

  /// Returns a copy of the registry in which a name is registered; see ``register(_:_:reader:)``.
  public func registering(_ module: String, _ name: String, reader: Reader? = nil) -> PickleRegistry {
    var registry = self
    registry.register(module, name, reader: reader)
    return registry
  }

  /// Removes a name, such as one of the standard names.
  public mutating func remove(_ module: String, _ name: String) {
    set(PickleName(module, name).canonical, nil)
  }

  private mutating func set(_ name: PickleName, _ entry: Entry?) {
    entries[name] = entry
    if name.module.hasPrefix("numpy") { readsArrays = false }
  }

  private init(entries: [PickleName: Entry], readsArrays: Bool, isStrict: Bool) {
    self.entries = entries
    self.readsArrays = readsArrays
    self.isStrict = isStrict
  }

  subscript(name: PickleName) -> Entry? { entries[name.canonical] }
}

/// The names that are supported without registration.
enum PickleBuiltIn: CaseIterable, Sendable {
  case set
  case frozenSet
  case bytes
  case byteArray
  case complex
  /// `_codecs.encode`: makes bytes from a str with as many characters. Used before Python 3 had an opcode for bytes.
  case encode
  /// `copyreg._reconstructor`: makes an object. Used before there was an opcode for it.
  case reconstructor
  /// The base class that `copyreg._reconstructor` gets.
  case object
  case orderedDict
  case date
  case time
  case dateTime
  case timeDelta
  case timeZone
  case decimal
  case uuid
  /// An array, and NumPy's own subclasses of arrays.
  case array
  /// The type of a recarray's elements.
  case record
  case arrayReconstructor
  case arrayFromBuffer
  case arrayType
  case arrayScalar

  /// Each under its ``PickleName/canonical`` name.
  var names: [PickleName] {
    switch self {
    case .set: Self.names(["builtins"], "set")
    case .frozenSet: Self.names(["builtins"], "frozenset")
    case .bytes: Self.names(["builtins"], "bytes")
    case .byteArray: Self.names(["builtins"], "bytearray")
    case .complex: Self.names(["builtins"], "complex")
    case .encode: Self.names(["_codecs"], "encode")
    case .reconstructor: Self.names(["copyreg"], "_reconstructor")
    case .object: Self.names(["builtins"], "object")
    case .orderedDict: Self.names(["collections"], "OrderedDict")
    case .date: Self.names(["datetime"], "date")
    case .time: Self.names(["datetime"], "time")
    case .dateTime: Self.names(["datetime"], "datetime")
    case .timeDelta: Self.names(["datetime"], "timedelta")
    case .timeZone: Self.names(["datetime"], "timezone")
    case .decimal: Self.names(["decimal"], "Decimal")
    case .uuid: Self.names(["uuid"], "UUID")
    case .array:
      ["ndarray", "memmap", "matrix", "recarray", "chararray"].map { PickleName("numpy", $0) }
        + [
          PickleName("numpy.matrixlib.defmatrix", "matrix"),
          PickleName("numpy.core.memmap", "memmap").canonical,
          PickleName("numpy.core.records", "recarray").canonical, PickleName("numpy.rec", "recarray"),
          PickleName("numpy.core.defchararray", "chararray").canonical, PickleName("numpy.char", "chararray"),
        ]
    case .record:
      [
        PickleName("numpy", "record"), PickleName("numpy.core.records", "record").canonical,
        PickleName("numpy.rec", "record"),
      ]
    case .arrayReconstructor: Self.names(["numpy._core.multiarray"], "_reconstruct")
    case .arrayFromBuffer: Self.names(["numpy._core.numeric"], "_frombuffer")
    case .arrayType: Self.names(["numpy"], "dtype")
    case .arrayScalar: Self.names(["numpy._core.multiarray"], "scalar")
    }
  }

  private static func names(_ modules: [String], _ name: String) -> [PickleName] {
    modules.map { PickleName($0, name) }
  }
}
