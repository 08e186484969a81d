import CSysShim
import CSysTestSupport
import Foundation
import Glibc
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import Testing

/// The error that a call throws; nil, and a failed expectation, if it throws none or another.
func endpointError<T>(
  of call: () async throws -> T, sourceLocation: SourceLocation = #_sourceLocation
) async -> EndpointError? {
  do {
    let value = try await call()
    Issue.record("no error but \(value)", sourceLocation: sourceLocation)
    return nil
  } catch let error as EndpointError {
    return error
  } catch {
    Issue.record("another error: \(error)", sourceLocation: sourceLocation)
    return nil
  }
}

/// The same for synchronous calls.
func blockingError<T>(
  of call: () throws -> T, sourceLocation: SourceLocation = #_sourceLocation
) -> EndpointError? {
  do {
    let value = try call()
    Issue.record("no error but \(value)", sourceLocation: sourceLocation)
    return nil
  } catch let error as EndpointError {
    return error
  } catch {
    Issue.record("another error: \(error)", sourceLocation: sourceLocation)
    return nil
  }
}

/// Two raw ends, of whichever kind.
enum Wire: String, CaseIterable, CustomTestStringConvertible, Sendable {
  case pipe, oldPipe, unix, tcp, tcp6

  var testDescription: String { rawValue }

  /// The receiving and the sending end.
  func make() throws -> (SocketReader, SocketWriter) {
    switch self {
    case .pipe: return try makePipe()
    case .oldPipe:
      return try KernelFeatures.$override.withValue(
        KernelFeatures(nowaitPipes: false, nosignalPipes: false)
      ) { try makePipe() }
    case .unix, .tcp, .tcp6:
      let kind: SocketPairKind = self == .unix ? .unix : self == .tcp ? .tcp : .tcp6
      let pair = try DescriptorPair.sockets(kind)
      return (try SocketReader(adopting: pair.first), try SocketWriter(adopting: pair.second))
    }
  }
}

/// Bytes that differ from place to place and from seed to seed.
func pattern(_ count: Int, seed: Int = 0) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count)
  var start = seed % patternBase.count
  while bytes.count < count {
    bytes += patternBase[start...].prefix(count - bytes.count)
    start = 0
  }
  return bytes
}

/// Of an odd length, so that no power of two repeats in it.
private let patternBase: [UInt8] = (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ ($0 >> 8)) }

/// A frame of the varint framing.
func varIntFrame(_ payload: [UInt8]) throws -> [UInt8] {
  var parts = FrameParts()
  try VarIntFraming().encode(payload, into: &parts)
  return parts.bytes
}

extension Endpoint {
  /// How many callers are queued, in both directions.
  var queued: Int {
    (core.receiving?.inspect { $0.waiterCount } ?? 0) + (core.sending?.inspect { $0.waiterCount } ?? 0)
  }
}

extension Endpoint {
  /// How many bytes of an unfinished message it has received.
  var held: Int { core.receiving?.held ?? 0 }
}

/// So many rounds, of which `SWTEST_ROUNDS` may name another percentage: under a sanitizer they take their time.
func stressed(_ rounds: Int) -> Int {
  let percent = ProcessInfo.processInfo.environment["SWTEST_ROUNDS"].flatMap { Int($0) } ?? 100
  return max(rounds * percent / 100, 1)
}

/// As ``stressed``, or the number that was promised for the full test, which `SWTEST_FULL=1` asks for: minutes.
func stressed(_ rounds: Int, full: Int) -> Int {
  ProcessInfo.processInfo.environment["SWTEST_FULL"] != nil ? full : stressed(rounds)
}

/// A sanitizer keeps memory of its own beside ours.
let isSanitized = ProcessInfo.processInfo.environment["SWTEST_SANITIZED"] != nil

/// Blocks its thread, as a long computation does.
final class Hold: Sendable {
  private let semaphore = DispatchSemaphore(value: 0)
  func block() { semaphore.wait() }
  func release() { semaphore.signal() }
}

/// The identity of a descriptor's file, beyond the number.
struct OpenFile: Sendable {
  private let number: Int32
  private let inode: UInt64

  init(_ descriptor: FileDescriptor) {
    number = descriptor.rawValue
    inode = Self.inode(of: number) ?? 0
  }

  /// Whether the number still refers to the same.
  var isOpen: Bool { Self.inode(of: number) == inode }

  /// The numbers under which this process has it open.
  var numbers: Set<Int32> { openDescriptors().filter { Self.inode(of: $0) == inode } }

  private static func inode(of number: Int32) -> UInt64? {
    var status = stat()
    return unsafe fstat(number, &status) == 0 ? UInt64(status.st_ino) : nil
  }
}

/// The text of a file of the kernel about this process, such as `maps`. `String(contentsOfFile:)` ends with the first page of these.
func textAboutProcess(_ name: String) throws -> String {
  let file = try #require(FileHandle(forReadingAtPath: "/proc/self/\(name)"))
  return String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
}

/// The open descriptors of this process.
func openDescriptors() -> Set<Int32> {
  var open: Set<Int32> = []
  for number in Int32(0)..<1024 where swsys_get_close_on_exec(number) >= 0 { open.insert(number) }
  return open
}

/// The descriptors that may be the library's: the runtime opens and closes others, for itself, at any time.
func libraryDescriptors() -> Set<Int32> { openDescriptors().filter(isOfTheLibrary) }

/// Whether a number is open, and not for one of the runtime's own purposes.
func isOfTheLibrary(_ number: Int32) -> Bool {
  var name = [CChar](repeating: 0, count: 64)
  let count = unsafe readlink("/proc/self/fd/\(number)", &name, name.count)
  let target = String(decoding: name.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  return ["socket:", "pipe:", "anon_inode:[pidfd]", "pidfd:"].contains { target.hasPrefix($0) }
}

/// Whether no more of a kind is open than before. The runtime opens event counters of its own at any time.
func opensNothing(_ kind: swsys_kind, beyond before: Set<Int32>) -> Bool {
  openDescriptors().subtracting(before).allSatisfy { swsys_kind($0) != Int32(kind.rawValue) }
}

/// Runs `body` on a thread with a copy of the table of descriptors for itself, and returns its result. There a test may use
/// up all numbers: Dispatch, which traps if it cannot open a file, has those of the other table.
func withOwnDescriptors<Value: Sendable>(_ body: @escaping @Sendable () -> Value) throws -> Value {
  let result = Guarded<Value?>(nil)
  let call = BoxedBody {
    let value = body()
    result.withLock { $0 = value }
  }
  let error = unsafe swsys_with_own_descriptors(
    { context in
      guard let context = unsafe context else { return }
      unsafe Unmanaged<BoxedBody>.fromOpaque(context).takeUnretainedValue().run()
    },
    Unmanaged.passUnretained(call).toOpaque())
  #expect(error == 0)
  return try withExtendedLifetime(call) { try #require(result.withLock { $0 }) }
}

private final class BoxedBody: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Limits the descriptors of this process. Those that are open stay open.
func limitDescriptors(_ count: UInt) {
  var limit = rlimit(rlim_cur: count, rlim_max: 4_096)
  _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}
