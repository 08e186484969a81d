internal import ArgumentParser
internal import CFloor
internal import Foundation

extension FrameHeader: ExpressibleByArgument {}

/// The role of this program when it is the other end of a measurement: see ``PeerProcess``.
struct PeerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peer", abstract: "The other end of a measurement; started by the program itself.",
    shouldDisplay: false,
    subcommands: [
      Echo.self, Source.self, Sink.self, Dying.self, Serve.self, Load.self, Idle.self, First.self,
      Answer.self,
      Open.self, Shortage.self, Computing.self, Greeted.self, Crowd.self,
    ])

  /// The descriptors that it finds open.
  static func ends() -> Ends {
    var (first, second) = (stat(), stat())
    unsafe fstat(3, &first)
    unsafe fstat(4, &second)
    if first.st_ino == second.st_ino, first.st_mode & S_IFMT == S_IFSOCK {
      _ = floor_close(4)
      return Ends(reading: 3, writing: 3)
    }
    return Ends(reading: 3, writing: 4)
  }

  static let control: Int32 = 5
}

struct FrameOptions: ParsableArguments {
  @Option var size: Int
  @Option var header: FrameHeader
  @Option var perWrite = 1

  var shape: Shape { Shape(byteCount: size, perWrite: perWrite) }
}

extension PeerCommand {
  struct Echo: AsyncParsableCommand {
    @Option var `as`: Contestant
    @OptionGroup var frames: FrameOptions

    func run() async throws { try await Self.echo(`as`, frames.shape, frames.header) }

    /// Not on the main actor, because the echo is an ordinary task of a program.
    @concurrent
    private static func echo(_ contestant: Contestant, _ shape: Shape, _ header: FrameHeader) async throws {
      let connection: any Connection =
        contestant == .floor
        ? try CConnection(ends(), shape, header: header) : try await contestant.open(ends(), shape)
      try await connection.echo()
      await connection.close()
    }
  }

  struct Source: AsyncParsableCommand {
    @Option var `as`: Contestant
    @OptionGroup var frames: FrameOptions

    func run() async throws {
      if `as` == .floor {
        try CConnection(ends(), frames.shape, header: frames.header).source(orders: control)
      } else {
        try await Self.source(`as`, frames.shape)
      }
    }

    @concurrent
    private static func source(_ contestant: Contestant, _ shape: Shape) async throws {
      let connection = try await contestant.open(ends(), shape)
      while let order = try await onThread({ Control.nextOrder() }) {
        try await connection.send(Int(order) ?? 0)
      }
      await connection.close()
    }
  }

  struct Sink: ParsableCommand {
    @OptionGroup var frames: FrameOptions

    func run() throws {
      let frameSize = floor_frame_size(frames.header.native, frames.size)
      try checked("sink", floor_sink(ends().reading, frameSize, control))
    }
  }

  /// Echoes a little and then fails, to show that a benchmark survives it.
  struct Dying: ParsableCommand {
    @OptionGroup var frames: FrameOptions

    func run() throws {
      let frameSize = floor_frame_size(frames.header.native, frames.size)
      var frame = [UInt8](repeating: 0, count: frameSize)
      for _ in 0..<2000 {
        try unsafe frame.withUnsafeMutableBytes { bytes in
          _ = try checked("read", unsafe floor_read_all(3, bytes.baseAddress, frameSize))
          _ = try checked("write", unsafe floor_write_all(4, bytes.baseAddress, frameSize))
        }
      }
      throw SystemFailure(operation: "a peer that dies after 2000 messages", errno: EOWNERDEAD)
    }
  }
}
