// The time zones of datetimes, as far as their pickles describe them. No zone is constructed.

extension PickleReader {
  /// Whether Python accepts a slot as a time zone: None, or an object of some class.
  func isZone(_ slot: PickleSlot) -> Bool {
    guard case .node(let index) = slot else { return isNone(slot) }
    switch arena.nodes[index] {
    case .timeZone: return true
    case .object: return true
    default: return false
    }
  }

  /// The known facts about a time zone. Nil for None.
  mutating func zone(_ slot: PickleSlot) throws(PickleError) -> PickleTimeZone? {
    guard case .node(let index) = slot else { return nil }
    switch arena.nodes[index] {
    case .timeZone(let zone): return zone
    case .object(let object):
      try charge(work: 32)
      let callee = try callee(object.callee)
      let (offset, name) = describe(object, callee.name)
      return PickleTimeZone(offset: offset, name: name)
    default: return nil
    }
  }

  /// The offset and name of a time zone whose class is not `datetime.timezone`.
  private func describe(
    _ object: PickleObjectNode, _ name: PickleName?
  ) -> (offset: PickleTimeZone.Offset?, name: String?) {
    let arguments = object.arguments
    let first = arguments.first.flatMap(short)
    guard let name else { return (nil, nil) }
    let module = PickleText(name.canonical.module)
    switch (module, PickleText(name.name)) {
    // zoneinfo: getattr(ZoneInfo, "_unpickle")(key, from_cache).
    case ("zoneinfo", _): return (first.flatMap(Self.fixedOffset), first)
    // pytz: _p(zone, offset, dst, name of that offset), one object for each offset that a zone has.
    case ("pytz", "_p"):
      let offset: PickleTimeZone.Offset? = arguments.dropFirst().first.flatMap(int).flatMap {
        .init(seconds: $0)
      }
      return (offset ?? first.flatMap(Self.fixedOffset), first)
    case ("pytz", "_UTC"): return (.init(seconds: 0), "UTC")
    case ("pytz", "_FixedOffset"), ("pytz", "FixedOffset"):
      // In minutes.
      let minutes = arguments.first.flatMap(int).flatMap { -1440 < $0 && $0 < 1440 ? $0 : nil }
      return (minutes.flatMap { .init(seconds: 60 * $0) }, nil)
    case (_, "tzutc") where module.hasPrefix("dateutil"): return (.init(seconds: 0), "UTC")
    case (_, "tzoffset") where module.hasPrefix("dateutil"):
      // The name or None, and the offset: as arguments or as attributes.
      let offset = arguments.count == 2 ? arguments[1] : attribute("_offset", of: object)
      let name = arguments.isEmpty ? attribute("_name", of: object).flatMap(short) : first
      return (offset.flatMap(self.offset), name)
    case (_, "_unpickle") where module.hasPrefix("dateutil"):
      // From dateutil 4 on: the class, the identifier or None, the file name or None, and the offsets.
      let names = arguments.dropFirst().prefix(2).compactMap(short)
      let name = names.first.map(identifier)
      return (name.flatMap(Self.fixedOffset), name)
    case (_, "tzstr") where module.hasPrefix("dateutil"):
      return (nil, first ?? attribute("_s", of: object).flatMap(short))
    case (_, "tzfile") where module.hasPrefix("dateutil"):
      // (None, file name)
      let name = arguments.dropFirst().first.flatMap(short).map(identifier) ?? first.map(identifier)
      return (name.flatMap(Self.fixedOffset), name)
    default: return (nil, first)
    }
  }

  /// The identifiers of UTC. For all others the offset depends on the date, or on the machine's database.
  ///
  /// Source: IANA's time zone database, `etcetera` and `backward`.
  private static let namesOfUTC: Set<PickleText> = [
    "UTC", "UCT", "Universal", "Zulu", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "GMT", "GMT0",
    "GMT+0",
    "GMT-0", "Greenwich", "Etc/GMT", "Etc/GMT0", "Etc/GMT+0", "Etc/GMT-0", "Etc/Greenwich",
  ]

  private static func fixedOffset(_ identifier: String) -> PickleTimeZone.Offset? {
    namesOfUTC.contains(PickleText(identifier)) ? .init(seconds: 0) : nil
  }

  /// A text that may be a name.
  private func short(_ slot: PickleSlot) -> String? {
    string(slot).flatMap { $0.utf8.count <= 200 ? $0 : nil }
  }

  private func offset(_ slot: PickleSlot) -> PickleTimeZone.Offset? {
    if let seconds = int(slot) { return .init(seconds: seconds) }
    guard case .node(let index) = slot, case .timeDelta(let delta) = arena.nodes[index] else { return nil }
    return .init(delta)
  }

  private func attribute(_ name: String, of object: PickleObjectNode) -> PickleSlot? {
    guard case .node(let index) = object.state, case .dict(let slots) = arena.nodes[index] else { return nil }
    for place in stride(from: 0, to: min(slots.count, 32), by: 2) where text(slots[place]) == PickleText(name)
    {
      return slots[place + 1]
    }
    return nil
  }

  /// The identifier in a path such as `/usr/share/zoneinfo/Europe/Berlin`.
  private func identifier(_ path: String) -> String {
    let parts = path.split(separator: "/")
    guard let directory = parts.lastIndex(of: "zoneinfo") else { return path }
    return parts[(directory + 1)...].joined(separator: "/")
  }
}
