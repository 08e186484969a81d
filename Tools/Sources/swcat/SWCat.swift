internal import ArgumentParser

#if canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

@main
enum Program {
  static func main() { exit(SWCat.status().rawValue) }
}

/// The command line.
struct SWCat: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swcat",
    abstract: "Frames in, messages out, and the other way round.",
    discussion: """
      Data goes to standard output, everything else to standard error.

      Examples:
        printf 'hello\\nworld\\n' | swcat encode --framing varint | swcat decode --framing varint
        printf '68656c6c6f\\n' | swcat encode --framing u32be --input hex >frames
        swcat decode --framing u32be --output json <frames

      Exit status: 0 all messages were handled, or nobody reads the output any more; 1 usage; 2 reading or writing
      failed; 3 the stream broke the framing, or a message was not understood; 5 it ended inside a frame. Messages
      before the fault have been handled.
      """,
    subcommands: [Encode.self, Decode.self])

  func run() throws { throw ValidationError("expected a command: encode or decode") }

  /// Does what the command line says.
  static func status() -> ExitStatus {
    do {
      var command = try parseAsRoot()
      try command.run()
      return .success
    } catch is OutputClosed {
      return .success
    } catch let failure as Failure {
      complain("swcat: \(failure.message)")
      return failure.status
    } catch {
      return explain(error)
    }
  }

  /// Usage: asked for, or in need of it.
  private static func explain(_ error: any Error) -> ExitStatus {
    let text = fullMessage(for: error)
    guard exitCode(for: error).isSuccess else {
      complain(text)
      return .usage
    }
    do {
      var sink = try StandardOutput()
      try sink.write(Array("\(text)\n".utf8))
      try sink.flush()
      return .success
    } catch let failure as Failure {
      complain("swcat: \(failure.message)")
      return failure.status
    } catch {
      return .success
    }
  }
}
