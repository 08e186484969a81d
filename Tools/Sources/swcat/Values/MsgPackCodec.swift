// The package need not have MessagePack, which needs a C library: what the manifest's dependencies say.
#if canImport(SWMsgPack)
  internal import SWMessaging
  internal import SWMsgPack
  internal import SWPickle

  /// Bare MessagePack values, as bytes: a frame is a value and nothing around it.
  struct MsgPackBytesFraming: ByteFraming {
    /// As deep as values may be at all.
    static let limits = MsgPackLimits(depth: MsgPackLimits.deepest)

    func makeScanner() -> MsgPackScanner { MsgPackValueFraming(limits: Self.limits).makeScanner() }

    func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
      var scanner = makeScanner()
      var demand = FrameDemand.atLeast(1)
      while !demand.isFinal, demand.byteCount <= payload.count { demand = try scanner.demand(in: payload) }
      guard demand.isFinal, demand.byteCount == payload.count else {
        throw FramingError(
          .unrepresentable, offset: min(demand.byteCount, payload.count),
          explanation:
            "expected one MessagePack value of \(demand.isFinal ? "" : "at least ")\(demand.byteCount) "
            + "bytes; found \(payload.count) bytes")
      }
      return FrameEnvelope()
    }
  }

  /// Payloads that are MessagePack values. In hex and base64 they are the value's bytes.
  struct MsgPackCodec: PayloadCodec {
    func show(_ payload: [UInt8], as format: MessageFormat, on line: inout [UInt8]) throws(Misread) {
      switch format {
      case .hex, .base64: try BytesCodec().show(payload, as: format, on: &line)
      case .json: try MsgPackJSON.write(try value(of: payload), to: &line)
      case .tagged: MsgPackTagged.write(try value(of: payload), to: &line)
      case .text:
        let value = try value(of: payload)
        if let text = value.text { return EscapedText.write(Array(text.utf8), to: &line) }
        let end = line.count
        do throws(Misread) {
          try MsgPackJSON.write(value, to: &line)
        } catch {
          line.removeLast(line.count - end)
          MsgPackTagged.write(value, to: &line)
        }
      }
    }

    func read(_ line: [UInt8], as format: MessageFormat) throws(Misread) -> [UInt8] {
      switch format {
      case .hex, .base64: return try BytesCodec().read(line, as: format)
      case .json: return try bytes(of: try MsgPackJSON.read(try JSONDocument(line)))
      case .tagged: return try bytes(of: try MsgPackTagged.read(try JSONDocument(line)))
      case .text:
        let bytes = try EscapedText.read(line)
        guard let text = String(validating: bytes, as: UTF8.self) else {
          throw Misread(at: 0, expected: "UTF-8, as the line becomes a string", found: described(bytes[...]))
        }
        return try self.bytes(of: .string(text))
      }
    }

    private func value(of payload: [UInt8]) throws(Misread) -> MsgPackValue {
      do throws(MsgPackError) {
        return try MsgPackValue(payload, limits: MsgPackBytesFraming.limits)
      } catch {
        throw Misread(at: error.offset, expected: "a MessagePack value", found: "\(error)")
      }
    }

    private func bytes(of value: MsgPackValue) throws(Misread) -> [UInt8] {
      do {
        return try value.encoded(limits: MsgPackBytesFraming.limits)
      } catch {
        throw Misread(at: 0, expected: "a value that MessagePack has", found: "\(error)")
      }
    }
  }

  /// MessagePack values as plain JSON, wherever JSON can say them: all but binary data, extensions, nan and inf, and
  /// maps with keys that are no strings.
  enum MsgPackJSON {
    /// Recurses as deep as the value is, which the limits bound.
    static func write(_ value: MsgPackValue, to line: inout [UInt8]) throws(Misread) {
      switch value {
      case .null: line += "null".utf8
      case .bool(let value): line += (value ? "true" : "false").utf8
      case .int(let value): line += "\(value)".utf8
      case .uint(let value): line += "\(value)".utf8
      case .float(let value): try write(Double(value), to: &line)
      case .double(let value): try write(value, to: &line)
      case .string(let text): line += text.quotedAsJSON.utf8
      case .binary: throw refusal("binary data")
      case .extension(let type, _): throw refusal("an extension of type \(type)")
      case .array(let elements):
        line.append(UInt8(ascii: "["))
        for (index, element) in elements.enumerated() {
          if index > 0 { line.append(UInt8(ascii: ",")) }
          try write(element, to: &line)
        }
        line.append(UInt8(ascii: "]"))
      case .map(let pairs):
        line.append(UInt8(ascii: "{"))
        for (index, pair) in pairs.enumerated() {
          if index > 0 { line.append(UInt8(ascii: ",")) }
          guard let name = pair.key.text else { throw refusal("a map with a key that is no string") }
          line += name.quotedAsJSON.utf8
          line.append(UInt8(ascii: ":"))
          try write(pair.value, to: &line)
        }
        line.append(UInt8(ascii: "}"))
      }
    }

    private static func write(_ value: Double, to line: inout [UInt8]) throws(Misread) {
      if !value.isFinite { throw refusal("a float that is \(Tagged.shown(value))") }
      line += "\(value)".utf8
    }

    private static func refusal(_ found: String) -> Misread {
      Misread(at: 0, expected: "a value that JSON can say (the format 'tagged' has all)", found: found)
    }

    static func read(_ document: JSONDocument) throws(Misread) -> MsgPackValue {
      var maker = MsgPackMaker(document)
      for (index, node) in document.nodes.enumerated() {
        switch node {
        case .null: maker.add(.null)
        case .bool(let value): maker.add(.bool(value))
        case .integer(let spelling): maker.add(try maker.integer(spelling, at: index))
        case .number(let spelling):
          guard let value = Double(spelling), value.isFinite else {
            throw Misread(at: document.ends[index], expected: "a number that 64 bits hold", found: spelling)
          }
          maker.add(.double(value))
        case .string(let text): maker.add(.string(text))
        case .array(let elements): try maker.addArray(of: elements)
        case .object(let members):
          try maker.addMap(of: members.map { ((.string($0.name), 0), $0.value) })
        }
      }
      return try maker.value(document.root)
    }
  }

  /// MessagePack values in the lossless form: that of Python's values, with `{"t":"ext","code":5,"hex":"00"}` and
  /// `{"t":"timestamp","s":"1700000000","ns":0}`. A float of 32 bits is shown with the 64 bits of the same number.
  enum MsgPackTagged {
    /// Recurses as deep as the value is, which the limits bound.
    static func write(_ value: MsgPackValue, to line: inout [UInt8]) {
      switch value {
      case .null: line += #"{"t":"none"}"#.utf8
      case .bool(let value): line += #"{"t":"bool","v":\#(value)}"#.utf8
      case .int(let value): line += #"{"t":"int","v":"\#(value)"}"#.utf8
      case .uint(let value): line += #"{"t":"int","v":"\#(value)"}"#.utf8
      case .float(let value): write(Double(value), to: &line)
      case .double(let value): write(value, to: &line)
      case .string(let text): line += #"{"t":"str","v":\#(text.quotedAsJSON)}"#.utf8
      case .binary(let bytes): write(#"{"t":"bytes","hex":""#, bytes, to: &line)
      case .extension(let type, let bytes):
        if let time = MsgPackTimestamp(value) {
          line += #"{"t":"timestamp","s":"\#(time.seconds)","ns":\#(time.nanoseconds)}"#.utf8
        } else {
          write(#"{"t":"ext","code":\#(type),"hex":""#, bytes, to: &line)
        }
      case .array(let elements):
        line += #"{"t":"list","v":["#.utf8
        for (index, element) in elements.enumerated() {
          if index > 0 { line.append(UInt8(ascii: ",")) }
          write(element, to: &line)
        }
        line += "]}".utf8
      case .map(let pairs):
        line += #"{"t":"dict","v":["#.utf8
        for (index, pair) in pairs.enumerated() {
          line += (index > 0 ? ",[" : "[").utf8
          write(pair.key, to: &line)
          line.append(UInt8(ascii: ","))
          write(pair.value, to: &line)
          line.append(UInt8(ascii: "]"))
        }
        line += "]}".utf8
      }
    }

    private static func write(_ value: Double, to line: inout [UInt8]) {
      line += #"{"t":"float","bits":"\#(Tagged.bits(value))","v":"\#(Tagged.shown(value))"}"#.utf8
    }

    private static func write(_ start: String, _ bytes: [UInt8], to line: inout [UInt8]) {
      line += start.utf8
      Hexadecimal.write(bytes, to: &line)
      line += #""}"#.utf8
    }

    static func read(_ document: JSONDocument) throws(Misread) -> MsgPackValue {
      var maker = MsgPackMaker(document)
      for index in document.nodes.indices {
        guard case .object = document.nodes[index] else {
          maker.addNothing()
          continue
        }
        let fields = try TaggedFields(index, in: document)
        switch fields.type {
        case "list", "tuple":
          try maker.addArray(of: fields["n"] == nil ? fields.array() : fields.repeated("n"))
        case "dict":
          if fields["range_keys"] == nil {
            try maker.addMap(
              of: fields.pairs().map { pair throws(Misread) in (try maker.part(pair.key), pair.value) })
          } else {
            try maker.addMap(
              of: fields.repeated("range_keys").enumerated().map { ((.int(Int64($0)), 0), $1) })
          }
        default: maker.add(try simple(fields, at: index, maker))
        }
      }
      return try maker.value(document.root)
    }

    private static func simple(
      _ fields: TaggedFields, at index: Int, _ maker: MsgPackMaker
    ) throws(Misread) -> MsgPackValue {
      switch fields.type {
      case "none": return .null
      case "bool": return .bool(try fields.bool())
      case "int": return try maker.integer(try fields.text(), at: index)
      case "float": return .double(try fields.float())
      case "str": return .string(try fields.string())
      case "bytes", "bytearray": return .binary(try fields.wire("hex"))
      case "ext":
        guard let code = Int8(exactly: try fields.integer("code")) else {
          throw fields.misread("-128 to 127", in: "code")
        }
        return .extension(type: code, try fields.wire("hex"))
      case "timestamp":
        guard let seconds = Int64(try fields.text("s")) else { throw fields.misread("seconds", in: "s") }
        let nanoseconds = try fields.integer("ns")
        guard 0..<1_000_000_000 ~= nanoseconds else { throw fields.misread("less than a second", in: "ns") }
        return MsgPackTimestamp(seconds: seconds, nanoseconds: UInt32(nanoseconds)).value
      default:
        throw Misread(
          at: fields.offset, expected: "a type that MessagePack has", found: "type \(fields.type)")
      }
    }
  }

  /// Makes values of a document's, the parts before the whole; none so deep that it could not be taken apart again.
  private struct MsgPackMaker {
    typealias Part = (value: MsgPackValue, depth: Int)

    private let document: JSONDocument
    private var made: [Part?] = []

    init(_ document: JSONDocument) {
      self.document = document
      made.reserveCapacity(document.nodes.count)
    }

    func value(_ index: Int) throws(Misread) -> MsgPackValue { try part(index).value }

    func part(_ index: Int) throws(Misread) -> Part {
      guard let part = made[index] else {
        throw Misread(
          at: document.ends[index], expected: #"a tagged value, {"t":TYPE,…}"#, found: "other JSON")
      }
      return part
    }

    mutating func addNothing() { made.append(nil) }
    mutating func add(_ value: MsgPackValue) { made.append((value, 0)) }

    mutating func addArray(of places: [Int]) throws(Misread) {
      let parts = try places.map { place throws(Misread) in try part(place) }
      made.append((.array(parts.map(\.value)), try depth(above: parts.lazy.map(\.depth))))
    }

    mutating func addMap(of members: [(key: Part, value: Int)]) throws(Misread) {
      var pairs: [MsgPackValue.Pair] = []
      var deepest = 0
      for (key, place) in members {
        let value = try part(place)
        pairs.append(MsgPackValue.Pair(key.value, value.value))
        deepest = max(deepest, key.depth, value.depth)
      }
      made.append((.map(pairs), try depth(above: [deepest])))
    }

    private func depth(above depths: some Sequence<Int>) throws(Misread) -> Int {
      let depth = 1 + (depths.max() ?? 0)
      if depth <= MsgPackLimits.deepest { return depth }
      throw Misread(
        at: document.ends[made.count], expected: "nesting of at most \(MsgPackLimits.deepest) levels",
        found: "one more")
    }

    func integer(_ spelling: String, at index: Int) throws(Misread) -> MsgPackValue {
      if let integer = PickleInt(spelling) {
        if let value = Int64(exactly: integer) { return .int(value) }
        if let value = UInt64(exactly: integer) { return .uint(value) }
      }
      throw Misread(at: document.ends[index], expected: "an integer of 64 bits", found: spelling)
    }
  }
#endif
