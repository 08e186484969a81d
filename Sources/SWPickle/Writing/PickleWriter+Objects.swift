// Writes classes and functions, and the objects that calls of them make.

extension PickleWriter {
  /// Writes a class or a function: module, name, STACK_GLOBAL. A module's name is written once, because Python interns it.
  ///
  /// - Returns: the number of the class or function.
  @discardableResult
  mutating func save(_ name: PickleName) -> Int {
    sink.boundary()
    if let index = known.names[name] {
      sink.get(index)
      return index
    }
    sink.boundary()
    if let index = known.modules[PickleText(name.module)] {
      sink.get(index)
    } else {
      known.modules[PickleText(name.module)] = sink.memoCount
      sink.write(name.module)
    }
    sink.boundary()
    sink.write(name.name)
    sink.write(.stackGlobal)
    let index = sink.memoCount
    known.names[name] = index
    sink.memoize()
    return index
  }

  /// Writes a call: the name, a tuple of arguments, REDUCE.
  mutating func reduce(
    _ module: String, _ name: String, _ arguments: [Step], _ identity: PickleIdentity?, then: [Step] = []
  ) {
    waiting += then.reversed()
    waiting += [.memoize(identity), .opcode(.reduce)]
    waitForTuple(arguments)
    save(PickleName(module, name))
  }

  /// Queues a tuple that only this call uses.
  mutating func waitForTuple(_ elements: [Step]) {
    if elements.isEmpty {
      waiting += [.opcode(.emptyTuple), .boundary]
      return
    }
    waiting.append(.finishTuple(nil, count: elements.count))
    waiting += elements.reversed()
    if elements.count > 3 { waiting.append(.opcode(.mark)) }
    waiting.append(.boundary)
  }

  mutating func save(
    _ object: PickleObjectNode, _ identity: PickleIdentity?, _ graph: PickleGraph
  ) throws(PickleError) {
    if let state = object.state { waitForState(PickleValue(state, in: graph), of: object, identity, graph) }
    if !object.items.isEmpty { waiting.append(.items(PickleSlots(object.items, graph), 0)) }
    if !object.appended.isEmpty { waiting.append(.appended(PickleSlots(object.appended, graph), 0)) }
    waiting.append(.memoize(identity))
    if let base = object.base, let argument = object.arguments.first {
      saveReconstruction(
        of: object, PickleValue(base, in: graph), PickleValue(argument, in: graph), graph)
      return
    }
    if object.isMadeByObject, object.arguments.isEmpty, object.keywordArguments == nil {
      saveReconstruction(of: object, .name(PickleName("builtins", "object")), .none, graph)
      return
    }
    if let keywords = object.keywordArguments {
      waiting += [.opcode(.newObjectWithKeywords), .value(PickleValue(keywords, in: graph))]
    } else {
      waiting.append(.opcode(object.isNew ? .newObject : .reduce))
    }
    let arguments = object.arguments
    if arguments.isEmpty {
      waiting += [.opcode(.emptyTuple), .boundary]
    } else {
      waiting += [
        .finishTuple(nil, count: arguments.count), .run(PickleSlots(arguments, graph), arguments.indices),
      ]
      if arguments.count > 3 { waiting.append(.opcode(.mark)) }
      waiting.append(.boundary)
    }
    try save(PickleValue(object.callee, in: graph))
  }

  private mutating func saveReconstruction(
    of object: PickleObjectNode, _ base: PickleValue, _ argument: PickleValue, _ graph: PickleGraph
  ) {
    waiting += [
      .opcode(.reduce), .finishTuple(nil, count: 3), .value(argument), .value(base),
      .value(PickleValue(object.callee, in: graph)), .boundary,
    ]
    save(PickleName("copyreg", "_reconstructor"))
  }

  /// Queues the state: BUILD, or a call of the object's setter, whose result is popped.
  private mutating func waitForState(
    _ state: PickleValue, of object: PickleObjectNode, _ identity: PickleIdentity?, _ graph: PickleGraph
  ) {
    guard let setter = object.stateSetter, let identity else {
      waiting += [.opcode(.build), .value(state)]
      return
    }
    waiting += [
      .opcode(.pop), .opcode(.reduce), .opcode(.tuple2), .value(state),
      .value(PickleValue(.node(identity.index), in: graph)), .value(PickleValue(setter, in: graph)),
    ]
  }

  mutating func saveStandard(_ node: PickleNode, _ identity: PickleIdentity?, _ graph: PickleGraph) {
    switch node {
    case .date(let date): reduce("datetime", "date", [.data(Self.packed(date))], identity)
    case .time(let time, let zone):
      var bytes = Self.packed(time)
      if time.isFold { bytes[0] |= 0x80 }
      reduce("datetime", "time", [.data(bytes)] + Self.zone(time.timeZone, zone, graph), identity)
    case .dateTime(let value, let zone):
      var bytes = Self.packed(value.date) + Self.packed(value.time)
      if value.time.isFold { bytes[2] |= 0x80 }
      reduce("datetime", "datetime", [.data(bytes)] + Self.zone(value.time.timeZone, zone, graph), identity)
    case .timeDelta(let delta):
      reduce(
        "datetime", "timedelta",
        [.small(.int(delta.days)), .small(.int(delta.seconds)), .small(.int(delta.microseconds))], identity)
    case .timeZone(let zone): save(zone, zone == .utc ? nil : identity)
    case .decimal(let decimal): reduce("decimal", "Decimal", [.text(decimal.text)], identity)
    case .uuid(let uuid):
      waiting += [.opcode(.build), .uuidState(uuid)]
      waiting += [.memoize(identity), .opcode(.newObject), .opcode(.emptyTuple)]
      save(PickleName("uuid", "UUID"))
    default: break
    }
  }

  mutating func saveState(_ uuid: PickleUUID) {
    sink.boundary()
    sink.write(.emptyDict)
    sink.memoize()
    if uuid.isSafe != nil { sink.write(.mark) }
    save(uuidKey: "int", \.uuidKey)
    guard let isSafe = uuid.isSafe else {
      waiting += [.opcode(.setItem), .value(PickleValue(uuid.number))]
      return
    }
    waiting += [.uuidSafety(isSafe), .value(PickleValue(uuid.number))]
  }

  mutating func saveSafety(_ isSafe: Bool) {
    save(uuidKey: "is_safe", \.uuidSafetyKey)
    waiting += [.opcode(.setItems), .small(.int(isSafe ? 0 : -1))]
  }

  /// Writes the name of an attribute, which is one object for all UUIDs.
  private mutating func save(uuidKey name: String, _ place: WritableKeyPath<Known, Int?>) {
    sink.boundary()
    if let index = known[keyPath: place] {
      sink.get(index)
    } else {
      known[keyPath: place] = sink.memoCount
      sink.write(name)
    }
  }

  /// Writes a time zone: its Python object, or, without one, the object of that value.
  mutating func save(_ zone: PickleTimeZone, _ identity: PickleIdentity?) {
    sink.boundary()
    if identity == nil, let index = known.zones[zone] {
      sink.get(index)
      return
    }
    waiting += [identity == nil ? .memoizeZone(zone) : .memoize(identity), .opcode(.reduce)]
    if zone.offset == nil, let rule = zone.name, rule.utf8.contains(UInt8(ascii: ",")) {
      // No identifier of a zone has a comma. It is a rule of POSIX, such as "EST5EDT,M3.2.0,M11.1.0".
      waitForTuple([.text(rule)])
      save(PickleName("dateutil.tz.tz", "tzstr"))
      return
    }
    if zone.offset == nil {
      // getattr(ZoneInfo, "_unpickle")(key, from_cache)
      waitForTuple([.text(zone.name ?? "UTC"), .small(.bool(true))])
      waiting += [.memoize(nil), .opcode(.reduce)]
      waitForTuple([.name(PickleName("zoneinfo", "ZoneInfo")), .text("_unpickle")])
      save(PickleName("builtins", "getattr"))
      return
    }
    waitForTuple([.value(PickleValue(zone.delta))] + (zone.name.map { [Step.text($0)] } ?? []))
    save(PickleName("datetime", "timezone"))
  }

  private static func zone(_ zone: PickleTimeZone?, _ slot: PickleSlot?, _ graph: PickleGraph) -> [Step] {
    guard let zone else { return [] }
    return [slot.map { .value(PickleValue($0, in: graph)) } ?? .zone(zone)]
  }

  private static func packed(_ date: PickleDate) -> [UInt8] {
    [UInt8(date.year >> 8), UInt8(date.year & 0xff), UInt8(date.month), UInt8(date.day)]
  }

  private static func packed(_ time: PickleTime) -> [UInt8] {
    let microsecond = time.microsecond
    return [UInt8(time.hour), UInt8(time.minute), UInt8(time.second)]
      + [UInt8(microsecond >> 16), UInt8(microsecond >> 8 & 0xff), UInt8(microsecond & 0xff)]
  }
}
