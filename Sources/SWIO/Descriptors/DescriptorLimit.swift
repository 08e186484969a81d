internal import CSysShim

/// The number of descriptors that this process may have (RLIMIT_NOFILE), and what may be spent on peers.
///
/// The table must never be full: Dispatch opens a file for its threads once a second, and traps if it cannot.
package enum DescriptorLimit {
  /// The limit. It can change while the process runs.
  package static var ofProcess: Int { Int(swsys_descriptor_limit()) }

  /// The most connections that are served at a time.
  package static var forConnections: Int { max(ofProcess / 2, 1) }

  /// The most connections of peers that have not proved anything yet. They come on top of those that are served.
  package static var forStrangers: Int { max(ofProcess / 4, 1) }
}
