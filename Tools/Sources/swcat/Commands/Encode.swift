internal import ArgumentParser

/// `swcat encode`: lines in, frames out.
struct Encode: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "One message a line from standard input, frames to standard output.",
    discussion: """
      A line ends with LF; the last one may do without. In text, hex and base64 an empty line is an empty message.

      Examples:
        printf 'hello\\n' | swcat encode --framing u32be | xxd
        echo '{"id":7}' | swcat encode --framing content-length --input json
        echo '{"id":7,"text":"hello"}' | swcat encode --framing pickle --input json >frames
        find . -name '*.swift' | swcat encode --framing nul | xargs -0 wc -l
      """)

  @OptionGroup var options: FramingOptions
  @OptionGroup var lines: InputOption

  func run() async throws {
    let settings = Settings(maximumFrameSize: options.limit.maximumFrameSize)
    let output = try Peer.standardOutput(options.framing, settings)
    try await LineSender(peer: output, format: lines.input).run()
  }
}
