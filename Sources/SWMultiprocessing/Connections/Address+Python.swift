public import SWIO
public import SWPickle
internal import SystemPackage

extension Address {
  /// An address as Python's `multiprocessing` writes it: a path, `"\0name"`, or a tuple of host and port.
  ///
  /// - Returns: nil for anything else.
  public init?(python value: PickleValue) {
    let name: [UInt8]
    switch value.content {
    case .string(let text): name = Array(text.utf8)
    case .bytes(let bytes): name = bytes
    case .tuple(let parts):
      guard parts.count >= 2, let host = parts[0].text,
        let port = parts[1].integer.flatMap({ UInt16(exactly: $0) })
      else { return nil }
      self = .tcp(host: host, port: port)
      return
    default: return nil
    }
    guard let first = name.first else { return nil }
    if first == 0 {
      self = .abstract(Array(name.dropFirst()))
    } else if !name.contains(0) {
      self = .unix(FilePath(bytes: name))
    } else {
      return nil
    }
  }

  /// The address as Python's `multiprocessing` takes it; nil of a descriptor and of UDP.
  public var pythonValue: PickleValue? {
    switch kind {
    case .unix(let path): PickleValue(path.string)
    case .abstract(let name): PickleValue("\0" + String(decoding: name, as: UTF8.self))
    case .tcp(let host, let port): .tuple([PickleValue(host), PickleValue(port)])
    case .udp, .descriptor: nil
    @unknown default: nil
    }
  }
}
