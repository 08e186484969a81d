internal import SystemPackage

#if canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// The standard streams as the program found them.
enum StandardStreams {
  /// The numbers of those that were closed when the program started.
  ///
  /// The first use must come before anything else opens a descriptor: it points these numbers at `/dev/null`.
  /// Otherwise a descriptor of the Swift runtime gets one of them, and is taken for the stream.
  static let closedAtStart: Set<Int32> = {
    var closed: Set<Int32> = []
    for number: Int32 in 0...2 where fcntl(number, F_GETFD) < 0 {
      closed.insert(number)
      // The lowest free number is this one.
      _ = try? FileDescriptor.open(FilePath("/dev/null"), .readWrite)
    }
    return closed
  }()
}
