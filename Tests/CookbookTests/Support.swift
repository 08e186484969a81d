import Foundation
import SWMessaging
import Synchronization
import SystemPackage

// The passages of these tests between `// begin NAME` and `// end NAME` are quoted by the guide's page Cookbook.

/// A directory of a test's own, until it is removed.
final class ScratchDirectory: Sendable {
  let path: FilePath

  init() throws {
    path = FilePath(FileManager.default.temporaryDirectory.path)
      .appending("cookbook-\(UInt64.random(in: 0...UInt64.max))")
    try FileManager.default.createDirectory(atPath: path.string, withIntermediateDirectories: false)
  }

  func remove() { try? FileManager.default.removeItem(atPath: path.string) }

  /// A path in it.
  func callAsFunction(_ name: String) -> FilePath { path.appending(name) }
}

/// The notes of tasks and threads, in the order in which they come.
final class Log<Entry: Sendable>: Sendable {
  private let log = Guarded<[Entry]>([])
  var entries: [Entry] { log.withLock { $0 } }
  func append(_ entry: Entry) { log.withLock { $0.append(entry) } }
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// An abstract address that no other test has.
func unusedAddress() -> Address { .abstract("cookbook-\(UInt64.random(in: 0...UInt64.max))") }
