import Foundation
import SWMessaging
import SWPickle

/// Answers a Python that compares what it sends with what comes back.
extension Probe {
  /// Reads pickles from a channel, each behind a byte of flags, and sends each back as it is written here: `+` and the
  /// pickle, or `-` and the error.
  ///
  /// Flags: 1, written in protocol 5; 2, read by a strict registry; 4, strs of Python 2 as Latin-1; 8, as bytes.
  static func echoPickles(_ number: Int32) throws {
    let channel = try MessageDuplex(
      adopting: number, framing: .multiprocessingBytes, maximumFrameSize: 1 << 30)
    while let message = try channel.blocking.next() {
      guard let flags = message.first else { continue }
      var registry: PickleRegistry = flags & 2 == 0 ? .standard : .strict
      if flags & 4 != 0 { registry.python2Strings = .latin1 }
      if flags & 8 != 0 { registry.python2Strings = .bytes }
      do {
        let value = try PickleValue(pickle: Array(message.dropFirst()), registry: registry)
        let pickle = try value.pickled(flags & 1 == 0 ? .four : .five)
        try channel.blocking.send([UInt8(ascii: "+")] + pickle)
      } catch let error as PickleError {
        try channel.blocking.send([UInt8(ascii: "-")] + Array("\(error)".utf8))
      }
    }
  }
}
