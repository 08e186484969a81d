internal import SWMessaging
internal import SWPickle

/// Reads Python's values from the lossless form, that of ``PickleTaggedWriter`` and the short spellings of long
/// values: `{"t":"list","fill":VALUE,"n":N}`, `{"t":"set","range":N}`, `{"t":"dict","range_keys":N,"fill":VALUE}`.
/// No nesting recurses: a document has the parts before the whole.
struct PickleTaggedReader {
  /// The result for a value of the document.
  private struct Made {
    var reference: PickleBuilder.Reference
    /// Python can have it in a set and as a key.
    var isHashable: Bool
  }

  private let document: JSONDocument
  private var builder = PickleBuilder()
  /// The results for the document's values so far, if they are tagged.
  private var made: [Made?] = []
  /// By number. An object that is met before it is made has a placeholder.
  private var numbered: [Int: Made] = [:]
  private var placeholders: [Int: Int] = [:]

  init(_ document: JSONDocument) { self.document = document }

  mutating func read() throws(Misread) -> PickleValue {
    made.reserveCapacity(document.nodes.count)
    for index in document.nodes.indices {
      guard case .object = document.nodes[index] else {
        made.append(nil)
        continue
      }
      let fields = try TaggedFields(index, in: document)
      var value: Made
      if fields.type == "ref" {
        value = try reference(fields)
      } else {
        value = try self.value(fields)
        if fields["id"] != nil { try number(&value, fields) }
      }
      made.append(value)
    }
    if let (_, end) = placeholders.min(by: { $0.value < $1.value }) {
      throw Misread(at: end, expected: "a ref to a value with that id", found: "none with it")
    }
    return builder.value(try made(document.root).reference)
  }

  private func made(_ index: Int) throws(Misread) -> Made {
    guard let made = made[index] else {
      throw Misread(
        at: document.ends[index], expected: #"a tagged value, {"t":TYPE,…}"#, found: "other JSON")
    }
    return made
  }

  private mutating func reference(_ fields: TaggedFields) throws(Misread) -> Made {
    let number = try fields.integer("id")
    if let known = numbered[number] { return known }
    // The value contains this reference, whatever its type is, so it cannot be a key.
    let placeholder = Made(reference: builder.placeholder(), isHashable: false)
    numbered[number] = placeholder
    placeholders[number] = fields.offset
    return placeholder
  }

  private mutating func number(_ value: inout Made, _ fields: TaggedFields) throws(Misread) {
    let number = try fields.integer("id")
    if placeholders.removeValue(forKey: number) != nil, let placeholder = numbered[number] {
      builder.define(placeholder.reference, as: value.reference)
      value.isHashable = false
    } else if numbered[number] != nil {
      throw Misread(at: fields.offset, expected: "ids that differ", found: "\(number) twice")
    }
    numbered[number] = value
  }

  private mutating func value(_ fields: TaggedFields) throws(Misread) -> Made {
    switch fields.type {
    case "list", "tuple", "set", "frozenset": return try container(fields)
    case "dict": return Made(reference: try dict(fields), isHashable: false)
    case "bytearray":
      return Made(reference: builder.add(.byteArray(try fields.wire("hex"))), isHashable: false)
    case "object": return Made(reference: try object(fields), isHashable: true)
    case "global":
      let name = try fields.text("name")
      guard let dot = name.lastIndex(of: ".") else { throw fields.misread("a module and a name", in: "name") }
      let module = String(name[..<dot])
      let global = PickleName(module, String(name[name.index(after: dot)...]))
      return Made(reference: builder.add(.name(global)), isHashable: true)
    case "array": return Made(reference: builder.add(try array(fields)), isHashable: false)
    default: return Made(reference: builder.add(try simple(fields)), isHashable: true)
    }
  }

  private mutating func object(_ fields: TaggedFields) throws(Misread) -> PickleBuilder.Reference {
    func part(_ name: String) throws(Misread) -> PickleBuilder.Reference? {
      guard let place = fields[name] else { return nil }
      return try made(place).reference
    }
    func parts(_ name: String) throws(Misread) -> [PickleBuilder.Reference] {
      guard fields[name] != nil else { return [] }
      var references: [PickleBuilder.Reference] = []
      for place in try fields.array(name) { references.append(try made(place).reference) }
      return references
    }
    guard let callee = try part("callee") else { throw fields.misread("what is called", in: "callee") }
    var items: [(PickleBuilder.Reference, PickleBuilder.Reference)] = []
    if fields["items"] != nil {
      for pair in try fields.pairs("items") {
        items.append((try made(pair.key).reference, try made(pair.value).reference))
      }
    }
    return builder.object(
      calling: callee, try parts("args"), base: try part("base"), keywordArguments: try part("kwargs"),
      isNew: fields["new"] != nil, state: try part("state"), stateSetter: try part("setter"),
      appended: try parts("appended"), items: items)
  }

  private mutating func container(_ fields: TaggedFields) throws(Misread) -> Made {
    var elements: [Made] = []
    if fields["range"] != nil {
      for number in 0..<(try fields.count("range")) {
        elements.append(Made(reference: builder.add(PickleValue(number)), isHashable: true))
      }
    } else {
      for place in try fields["n"] == nil ? fields.array() : fields.repeated("n") {
        elements.append(try made(place))
      }
    }
    let references = elements.map(\.reference)
    let isHashable = elements.allSatisfy(\.isHashable)
    switch fields.type {
    case "list": return Made(reference: builder.list(references), isHashable: false)
    case "tuple": return Made(reference: builder.tuple(references), isHashable: isHashable)
    default: break
    }
    if !isHashable { throw unhashable(fields) }
    return fields.type == "set"
      ? Made(reference: builder.set(references), isHashable: false)
      : Made(reference: builder.frozenSet(references), isHashable: true)
  }

  private mutating func dict(_ fields: TaggedFields) throws(Misread) -> PickleBuilder.Reference {
    var pairs: [(PickleBuilder.Reference, PickleBuilder.Reference)] = []
    if fields["range_keys"] != nil {
      for (number, place) in try fields.repeated("range_keys").enumerated() {
        pairs.append((builder.add(PickleValue(number)), try made(place).reference))
      }
    } else {
      for pair in try fields.pairs() {
        let key = try made(pair.key)
        if !key.isHashable { throw unhashable(fields) }
        pairs.append((key.reference, try made(pair.value).reference))
      }
    }
    return builder.dict(pairs)
  }

  private func unhashable(_ fields: TaggedFields) -> Misread {
    Misread(
      at: fields.offset, expected: "keys and members of sets that Python can hash",
      found: "a list, a dict, a set, or what contains one, in a \(fields.type)")
  }

  private func simple(_ fields: TaggedFields) throws(Misread) -> PickleValue {
    switch fields.type {
    case "none": return .none
    case "bool": return PickleValue(try fields.bool())
    case "int":
      guard let value = PickleInt(try fields.text()) else { throw fields.misread("an integer", in: "v") }
      return PickleValue(value)
    case "float": return PickleValue(try fields.float())
    case "complex":
      return PickleValue(PickleComplex(real: try fields.bits("re"), imaginary: try fields.bits("im")))
    case "str": return PickleValue(try fields.string())
    case "bytes": return .bytes(try fields.wire("hex"))
    case "decimal":
      guard let value = PickleDecimal(try fields.text()) else {
        throw fields.misread("a decimal number", in: "v")
      }
      return PickleValue(value)
    case "uuid":
      let digits = try fields.text()
      guard digits.utf8.count == 32, digits.utf8.allSatisfy({ Hexadecimal.value($0) != nil }),
        let number = UInt128(digits, radix: 16)
      else { throw fields.misread("32 hexadecimal digits", in: "v") }
      return PickleValue(PickleUUID(number: number))
    default: return try fields.pickleTime()
    }
  }

  private func array(_ fields: TaggedFields) throws(Misread) -> PickleValue {
    var shape: [Int] = []
    for place in try fields.array("shape") {
      guard case .integer(let spelling) = document.nodes[place], let extent = Int(spelling) else {
        throw fields.misread("integers", in: "shape")
      }
      shape.append(extent)
    }
    guard let type = NumPyType(tagged: try fields.text("dtype")) else {
      throw fields.misread("a plain number's type, such as <f8", in: "dtype")
    }
    let order: NumPyArray.Order
    switch try fields.text("order") {
    case "C": order = .rowMajor
    case "F": order = .columnMajor
    default: throw fields.misread("C or F", in: "order")
    }
    guard
      let array = NumPyArray(shape: shape, type: type, order: order, bytes: try fields.wire("hex"))
    else { throw fields.misread("as many bytes as shape and dtype say", in: "hex") }
    return PickleValue(array)
  }
}

extension NumPyType {
  /// A byte order, a letter and a size: `<f8`.
  fileprivate init?(tagged code: String) {
    var rest = Substring(code)
    guard let mark = rest.popFirst(), "<>|".contains(mark), let letter = rest.popFirst(),
      let byteCount = Int(rest)
    else { return nil }
    let kind: Kind
    switch letter {
    case "b": kind = .bool
    case "i": kind = .signed
    case "u": kind = .unsigned
    case "f": kind = .float
    case "c": kind = .complex
    default: return nil
    }
    self.init(kind, byteCount: byteCount, isBigEndian: mark == ">")
  }
}
