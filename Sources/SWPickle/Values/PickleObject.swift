/// An object whose class is not interpreted, or the result of a function that is not: the description that its pickle
/// gives. The object itself is never made, and nothing is called.
///
/// ```swift
/// if case .object(let object) = value.content, object.name == PickleName("builtins", "ValueError") {
///   let message = object.arguments.first?.text
/// }
/// try await worker.channel.send(.object(PickleName("builtins", "ValueError"), ["no such id"]))
/// ```
public struct PickleObject: Sendable {
  let node: PickleObjectNode
  let graph: PickleGraph

  init(_ node: PickleObjectNode, in graph: PickleGraph) {
    self.node = node
    self.graph = graph
  }

  /// The value that Python calls to make the object: a class or function (``PickleValue/Content/name(_:)``), or an
  /// object.
  public var callee: PickleValue { PickleValue(node.callee, in: graph) }

  /// The name of the class, or of the function that makes the object. The name of an attribute of a class has dots,
  /// such as `zoneinfo.ZoneInfo._unpickle`. Nil if the callee is another object.
  public var name: PickleName? {
    if case .link(let link) = node.callee {
      let link = graph.links[link]
      return PickleGraph.qualifiedName(of: .node(link.index), in: link.graph.nodes)
    }
    return PickleGraph.qualifiedName(of: node.callee, in: graph.nodes)
  }

  /// The arguments of the call.
  public var arguments: PickleElements { PickleElements(node.arguments, in: graph) }
  /// The keyword arguments of the call, as a dict; nil if there are none.
  public var keywordArguments: PickleValue? { node.keywordArguments.map { PickleValue($0, in: graph) } }
  /// In protocols 0 and 1, the built-in class that the object's class extends, such as `tuple`. Python then calls the
  /// `__new__` of this class, with the only argument. Otherwise nil.
  public var base: PickleValue? { node.base.map { PickleValue($0, in: graph) } }
  /// Whether Python calls only the class's `__new__`, and no initialiser.
  public var isNew: Bool { node.isNew }
  /// The argument of `__setstate__`: usually a dict of the object's attributes. Nil if the pickle has no state.
  public var state: PickleValue? { node.state.map { PickleValue($0, in: graph) } }
  /// The function that Python calls with the object and the state, in place of `__setstate__`. Nil unless the object's
  /// `__reduce__` names one, as cloudpickle does.
  public var stateSetter: PickleValue? { node.stateSetter.map { PickleValue($0, in: graph) } }
  /// The elements that Python then appends, as to a list.
  public var appended: PickleElements { PickleElements(node.appended, in: graph) }
  /// The items that Python then sets, as in a dict.
  public var items: PicklePairs { PicklePairs(node.items, in: graph) }

  /// An attribute, found by name in ``attributes``; nil if there is none of that name.
  public subscript(attribute: String) -> PickleValue? {
    for pairs in attributes ?? [] { if let found = pairs[attribute] { return found } }
    return nil
  }

  /// The attributes by name, in one dict or more, as the state has them:
  /// - a dict;
  /// - `(None or dict, dict)` if the class has `__slots__`;
  /// - for pydantic models, the dict under the key `__dict__`, and those of attributes that are private or that the class
  ///   does not declare.
  ///
  /// Nil if there is no state, or if the state names nothing, such as the list of values of a frozen dataclass with
  /// slots.
  public var attributes: [PicklePairs]? {
    switch state?.content {
    case .dict(let pairs):
      if let inner = pairs["__dict__"]?.pairs {
        let others = ["__pydantic_extra__", "__pydantic_private__"].compactMap { pairs[$0]?.pairs }
        return [inner] + others.filter { !$0.isEmpty } + [pairs]
      }
      return [pairs]
    case .tuple(let parts) where parts.count == 2:
      guard let slots = parts[1].pairs else { return nil }
      if parts[0].isNone { return [slots] }
      return parts[0].pairs.map { [$0, slots] }
    default: return nil
    }
  }

  /// The values of an object whose state is a sequence without names, such as that of a frozen dataclass with slots;
  /// otherwise nil.
  public var stateValues: PickleElements? {
    switch state?.content {
    case .list(let values): return values
    case .tuple(let values): return attributes == nil ? values : nil
    default: return nil
    }
  }
}

extension PickleValue {
  /// An object that Python makes when it reads the pickle: it calls `name(*arguments)`, sets the state, then
  /// appends elements and sets items.
  ///
  /// ```swift
  /// .object(PickleName("builtins", "ValueError"), ["no such id"])            // an exception
  /// .object(PickleName("app", "Color"), [2])                                 // a member of an enum
  /// .object(PickleName("app", "Point"), [3, 4], isNew: true)                 // a namedtuple
  /// .object(PickleName("app", "User"), isNew: true, state: ["name": "Ann"])  // a dataclass
  /// ```
  ///
  /// - Parameters:
  ///   - isNew: whether Python calls only the class's `__new__` and no initialiser, as in Python's own pickles of
  ///     classes. Keyword arguments need it.
  ///   - state: the argument of `__setstate__`, or the dict of the attributes.
  ///   - stateSetter: the function that Python calls with the object and the state, in place of `__setstate__`; without
  ///     a state it is not called.
  public static func object(
    _ name: PickleName, _ arguments: [PickleValue] = [], keywordArguments: PickleValue? = nil,
    isNew: Bool = false, state: PickleValue? = nil, stateSetter: PickleValue? = nil,
    appended: [PickleValue] = [], items: [(PickleValue, PickleValue)] = []
  ) -> PickleValue {
    object(
      calling: .name(name), arguments, keywordArguments: keywordArguments, isNew: isNew, state: state,
      stateSetter: stateSetter, appended: appended, items: items)
  }

  /// An object that Python makes by calling another object: a ``name(_:)``, or the result of a call. The parameters are
  /// those of ``object(_:_:keywordArguments:isNew:state:stateSetter:appended:items:)``.
  public static func object(
    calling callee: PickleValue, _ arguments: [PickleValue] = [], keywordArguments: PickleValue? = nil,
    isNew: Bool = false, state: PickleValue? = nil, stateSetter: PickleValue? = nil,
    appended: [PickleValue] = [], items: [(PickleValue, PickleValue)] = []
  ) -> PickleValue {
    var arena = PickleArena()
    var node = PickleObjectNode(
      callee: arena.link(callee), arguments: [], isNew: isNew || keywordArguments != nil)
    node.arguments = arguments.map { arena.link($0) }
    node.keywordArguments = keywordArguments.map { arena.link($0) }
    node.state = state.map { arena.link($0) }
    node.stateSetter = stateSetter.map { arena.link($0) }
    node.appended = appended.map { arena.link($0) }
    for (key, value) in items { node.items += [arena.link(key), arena.link(value)] }
    let root = arena.add(.object(node))
    return PickleValue(root, in: PickleGraph(nodes: arena.nodes, links: arena.links))
  }

  /// A class or function.
  public static func name(_ name: PickleName) -> PickleValue { PickleValue(PickleNode.name(name)) }

  /// An exception of Python's `builtins` module, such as `ValueError`.
  public static func exception(_ name: String, _ arguments: PickleValue...) -> PickleValue {
    object(PickleName("builtins", name), arguments)
  }

  /// An OrderedDict. If several keys are equal in Python, the first key is kept, with the last value.
  ///
  /// A key that Python cannot hash (``isHashable``), such as a list, is kept; writing the value then throws.
  public static func orderedDict(_ pairs: some Sequence<(PickleValue, PickleValue)>) -> PickleValue {
    let dict = dict(pairs)
    guard case .node(let graph, let index) = dict.storage, case .dict(let slots) = graph.nodes[index] else {
      return dict
    }
    var nodes = graph.nodes
    nodes[index] = .orderedDict(slots, attributes: nil)
    return PickleValue(.node(index), in: PickleGraph(nodes: nodes, links: graph.links, defect: graph.defect))
  }

  /// A NumPy dtype.
  public init(_ value: NumPyType) { self.init(PickleNode.arrayType(value)) }

  /// The attributes of an OrderedDict, as a dict; nil if it has none, and for other values.
  public var attributes: PickleValue? {
    guard case .node(let graph, let index) = storage,
      case .orderedDict(_, let attributes?) = graph.nodes[index]
    else { return nil }
    return PickleValue(attributes, in: graph)
  }

  /// The object, if the value is one.
  public var object: PickleObject? { if case .object(let object) = content { object } else { nil } }

  /// Whether Python can hash the value, so that it may be a key of a dict or an element of a set.
  ///
  /// - Complexity: linear in the tuples and frozensets that the value consists of.
  public var isHashable: Bool {
    var arena = PickleArena()
    let slot = arena.link(self)
    var keys = PickleKeys()
    do throws(PickleKeys.NotHashable) {
      _ = try keys.number(slot, in: arena)
      return true
    } catch {
      return false
    }
  }
}
