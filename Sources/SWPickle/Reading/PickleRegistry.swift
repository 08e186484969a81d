/// Which names of a pickle are interpreted, and what is made of them.
///
/// A pickle names classes and functions, and Python calls what it names: that is how a pickle runs `os.system`. Here
/// nothing is looked up and nothing is called. What a pickle says of a class or function that is not interpreted is
/// kept as a ``PickleObject``, or refused by name if the registry is strict.
///
/// ```swift
/// var registry = PickleRegistry.standard
/// registry.register("app.models", "Point") { point in        // something else than a PickleObject
///   .tuple(point.arguments)
/// }
/// var strict = PickleRegistry.strict
/// strict.register("app.models", "User")                      // the one class that may appear
/// ```
public struct PickleRegistry: Sendable {
  /// Makes a value of what a pickle says of an object. What it throws ends the reading. It may be called for
  /// every such object of a pickle, on whatever thread reads.
  public typealias Reader = @Sendable (PickleObject) throws -> PickleValue

  enum Entry: Sendable {
    case builtIn(PickleBuiltIn)
    case object(Reader?)
  }

  /// What becomes of a str that Python 2 pickled: bytes of which the pickle does not say the encoding. As Python's
  /// `pickle.loads(…, encoding=…)`.
  public struct Python2Strings: Hashable, Sendable {
    enum Storage: Sendable { case ascii, latin1, bytes }
    let storage: Storage

    /// A str; other bytes than ASCII are an error. Python's default.
    public static let ascii = Python2Strings(storage: .ascii)
    /// A str of as many characters as there were bytes. NumPy's arrays and datetimes of Python 2 need it in Python.
    public static let latin1 = Python2Strings(storage: .latin1)
    /// Bytes.
    public static let bytes = Python2Strings(storage: .bytes)
  }

  private var entries: [PickleName: Entry]

  /// Whether names that are not registered are refused, instead of becoming part of a ``PickleObject``; and strs that
  /// hold a lone surrogate, and calls of standard names with other arguments than usual.
  public var isStrict: Bool

  /// What becomes of strs that Python 2 pickled.
  public var python2Strings = Python2Strings.ascii

  /// Nothing at all: pickles that name anything are refused, and with them bytes in protocols 0 to 2, sets in
  /// protocols 0 to 3 and bytearrays in protocols 0 to 4.
  public static let empty = PickleRegistry(entries: [:], isStrict: true)

  /// Interprets what Python's plain values need: set, frozenset, bytes, bytearray and complex in the protocols that
  /// write them by name; datetime, date, time, timedelta and timezone; Decimal, UUID and OrderedDict; NumPy's arrays,
  /// scalars and dtypes. Everything else is kept as a ``PickleObject``.
  public static let standard: PickleRegistry = {
    var entries: [PickleName: Entry] = [:]
    for builtIn in PickleBuiltIn.allCases {
      for name in builtIn.names { entries[name] = .builtIn(builtIn) }
    }
    return PickleRegistry(entries: entries, isStrict: false)
  }()

  /// Interprets the same as ``standard``, and refuses everything that is not registered.
  public static let strict: PickleRegistry = {
    var registry = PickleRegistry.standard
    registry.isStrict = true
    return registry
  }()

  /// Registers a name: what a pickle says of such an object is kept as a ``PickleObject``, or handed to a reader.
  ///
  /// A reader is called when the whole pickle is read, for the objects in the order in which they were completed;
  /// so it sees what readers made of the objects inside, except where objects contain each other. Registering a
  /// name again replaces what it was registered for. A module that Python or NumPy calls otherwise in some release,
  /// such as `pathlib` (in 3.13 `pathlib._local`) or `builtins` (in 2.7 `__builtin__`), is meant under each name.
  ///
  /// - Parameters:
  ///   - module: the module as the pickle has it, such as `pathlib`.
  ///   - name: the name in that module, with dots if it has any.
  public mutating func register(_ module: String, _ name: String, reader: Reader? = nil) {
    entries[PickleName(module, name).canonical] = .object(reader)
  }

  /// The same with a name registered.
  public func registering(_ module: String, _ name: String, reader: Reader? = nil) -> PickleRegistry {
    var registry = self
    registry.register(module, name, reader: reader)
    return registry
  }

  /// Takes a name out, such as one of the standard ones.
  public mutating func remove(_ module: String, _ name: String) {
    entries[PickleName(module, name).canonical] = nil
  }

  private init(entries: [PickleName: Entry], isStrict: Bool) {
    self.entries = entries
    self.isStrict = isStrict
  }

  subscript(name: PickleName) -> Entry? { entries[name.canonical] }
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
  /// An array, and the classes of NumPy's own that are arrays.
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
