internal import ArgumentParser
internal import CFloor
internal import SWMessaging
internal import Synchronization

extension OpenContender.Way: ExpressibleByArgument {
  init?(argument: String) {
    guard let way = Self.allCases.first(where: { "\($0)" == argument }) else { return nil }
    self = way
  }
}

extension PeerCommand {
  /// Accepts many connections, has each echo a message, and prints their memory while they wait for the next one.
  struct Open: AsyncParsableCommand {
    @Option var `as`: OpenContender.Way
    @Option var connections: Int

    func run() async throws { try await Self.measure(`as`, connections) }

    @concurrent
    private static func measure(_ way: OpenContender.Way, _ count: Int) async throws {
      let first = 100
      let limit = UInt64(2 * (count + first) + 300)
      guard floor_raise_descriptor_limit(limit) >= limit else {
        throw Unavailable(description: "fewer than \(limit) descriptors may be open")
      }
      let listener = try Listener(.abstract(""), framing: .varInt)
      guard case .abstract(let bytes) = listener.address.kind else { throw UnexpectedEnd() }
      let name = String(decoding: bytes, as: UTF8.self)
      let books = Books(room: count + first)
      let executor = way == .reactor ? ReactorExecutor.shared : nil
      Task.detached(executorPreference: executor) {
        if way == .endpoints {
          for try await peer in listener.connections { books.note(peer) }
        }
        try await listener.serve(limit: .max, on: executor) { peer in
          for try await message in peer.messages {
            try await peer.send(message)
            books.note(nil)
          }
        }
      }
      try await grow(books, way, name, to: first)
      let (resident, heap) = (floor_resident_bytes(), floor_heap_bytes())
      try await grow(books, way, name, to: count + first)
      let figures = [Int(floor_resident_bytes()) - Int(resident), Int(floor_heap_bytes()) - Int(heap)]
      try Control.answer(figures.map(String.init).joined(separator: " "))
      withExtendedLifetime(books) {}
    }

    private static func grow(_ books: Books, _ way: OpenContender.Way, _ name: String, to count: Int)
      async throws
    {
      for number in books.count..<count {
        let client = try checked("connect", unsafe floor_connect(name))
        var frame = [UInt8](repeating: 64, count: 65)
        if way != .endpoints {
          try unsafe frame.withUnsafeMutableBytes { frame in
            _ = try checked("write", unsafe floor_write_all(client, frame.baseAddress, 65))
            _ = try checked("read", unsafe floor_read_all(client, frame.baseAddress, 65))
          }
        }
        while books.count <= number { await Task.yield() }
      }
    }
  }
  /// The number of used connections, and the connections that nothing else retains.
  private final class Books: Sendable {
    private let used = Atomic(0)
    private let kept = Mutex<[any Sendable]>([])

    init(room: Int) { kept.withLock { $0.reserveCapacity(room) } }

    var count: Int { used.load(ordering: .acquiring) }

    func note(_ connection: (any Sendable)?) {
      if let connection { kept.withLock { $0.append(connection) } }
      used.add(1, ordering: .releasing)
    }
  }
}
