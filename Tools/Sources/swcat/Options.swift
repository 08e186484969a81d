internal import ArgumentParser
internal import SWMessaging

/// What both commands are told.
struct Options: ParsableArguments {
  @Option(
    help: ArgumentHelp("How messages lie in the stream: \(FramingChoice.names).", valueName: "F"),
    transform: { name in try FramingChoice(named: name) })
  var framing: FramingChoice

  @Option(
    name: .customLong("max-frame"),
    help: ArgumentHelp(
      "The largest frame, its header included, in bytes or with k, M or G behind (powers of 1024); 1G unless "
        + "it is given.",
      valueName: "SIZE"),
    transform: { text in
      guard let size = ByteSize.read(text) else {
        throw ValidationError("expected a number of bytes of at least 1, such as 4096, 64k, 16M or 2G")
      }
      return size
    })
  var maximumFrameSize: Int = defaultMaximumFrameSize
}

extension MessageFormat: ExpressibleByArgument {
  /// For `--help`.
  static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
}
