// The time zones of datetimes, as far as their pickles describe them. No zone is constructed.

extension PickleObject {
  /// The offset and name of a time zone whose class is not `datetime.timezone`, as far as its pickle gives them.
  var timeZone: PickleTimeZone {
    let (offset, name) = zoneParts
    return PickleTimeZone(offset: offset, name: name)
  }

  private var zoneParts: (offset: PickleTimeZone.Offset?, name: String?) {
    let first = shortText(0)
    guard let name else { return (nil, nil) }
    let module = PickleText(name.canonical.module)
    switch (module, PickleText(name.name)) {
    // zoneinfo: getattr(ZoneInfo, "_unpickle")(key, from_cache). pendulum has the same in a subclass.
    case ("zoneinfo", _), ("pendulum.tz.timezone", "Timezone._unpickle"):
      return (first.flatMap(Self.fixedOffset), first)
    case ("pendulum.tz.timezone", "FixedTimezone"):
      return (number(0).flatMap { .init(seconds: $0) }, shortText(1))
    // pytz: _p(zone, offset, dst, name of that offset), one object for each offset that a zone has.
    case ("pytz", "_p"):
      let offset: PickleTimeZone.Offset? = number(1).flatMap { .init(seconds: $0) }
      return (offset ?? first.flatMap(Self.fixedOffset), first)
    case ("pytz", "_UTC"): return (.init(seconds: 0), "UTC")
    case ("pytz", "_FixedOffset"), ("pytz", "FixedOffset"):
      // In minutes.
      let minutes = number(0).flatMap { -1440 < $0 && $0 < 1440 ? $0 : nil }
      return (minutes.flatMap { .init(seconds: 60 * $0) }, nil)
    case (_, "tzutc") where module.hasPrefix("dateutil"): return (.init(seconds: 0), "UTC")
    case (_, "tzoffset") where module.hasPrefix("dateutil"):
      // The name or None, and the offset: as arguments or as attributes.
      let name = arguments.isEmpty ? shortText("_name") : first
      return (arguments.count == 2 ? offset(1) : offset("_offset"), name)
    case (_, "_unpickle") where module.hasPrefix("dateutil"):
      // From dateutil 4 on: the class, the identifier or None, the file name or None, and the offsets.
      let names = arguments.dropFirst().prefix(2).compactMap(\.shortText)
      let name = names.first.map(Self.identifier)
      return (name.flatMap(Self.fixedOffset), name)
    case (_, "tzstr") where module.hasPrefix("dateutil"): return (nil, first ?? shortText("_s"))
    case (_, "tzfile") where module.hasPrefix("dateutil"):
      // (None, file name)
      let name = shortText(1).map(Self.identifier) ?? first.map(Self.identifier)
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

  // These are separate functions, because Swift 6.3.1's optimiser fails if they are compiled as part of their caller.

  @inline(never)
  private func number(_ index: Int) -> Int? { index < arguments.count ? arguments[index].integer : nil }

  @inline(never)
  private func shortText(_ index: Int) -> String? {
    index < arguments.count ? arguments[index].shortText : nil
  }

  @inline(never)
  private func offset(_ index: Int) -> PickleTimeZone.Offset? { Self.offset(arguments[index]) }

  @inline(never)
  private func shortText(_ attribute: String) -> String? {
    place(of: attribute).flatMap { state?.pairs?[$0].value.shortText }
  }

  @inline(never)
  private func offset(_ attribute: String) -> PickleTimeZone.Offset? {
    guard let place = place(of: attribute), let value = state?.pairs?[place].value else { return nil }
    return Self.offset(value)
  }

  private static func offset(_ value: PickleValue) -> PickleTimeZone.Offset? {
    if case .timeDelta(let delta) = value.content { return .init(delta) }
    return value.integer.flatMap { .init(seconds: $0) }
  }

  /// The place of an attribute in the state. Only a few are looked at, because many datetimes may share a zone.
  private func place(of attribute: String) -> Int? {
    guard let pairs = state?.pairs else { return nil }
    return (0..<min(pairs.count, 16)).first { pairs.isKey(at: $0, attribute) }
  }

  /// The identifier in a path such as `/usr/share/zoneinfo/Europe/Berlin`.
  private static func identifier(_ path: String) -> String {
    let parts = path.split(separator: "/")
    guard let directory = parts.lastIndex(of: "zoneinfo") else { return path }
    return parts[(directory + 1)...].joined(separator: "/")
  }
}

extension PickleValue {
  /// A text that may be a name.
  fileprivate var shortText: String? { text.flatMap { $0.utf8.count <= 200 ? $0 : nil } }
}
