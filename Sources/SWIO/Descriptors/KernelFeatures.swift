internal import CSysShim

/// What this kernel can do for pipes. Probed once; tests override it to run the branches of older ones.
package struct KernelFeatures: Sendable {
  /// `RWF_NOWAIT` on anonymous pipes (about Linux 6.4). Without it a description of our own is opened
  /// through `/proc/self/fd`, with `O_NONBLOCK`.
  package var nowaitPipes: Bool
  /// `RWF_NOSIGNAL` (about Linux 6.18). Without it SIGPIPE is blocked in the thread and taken back.
  package var nosignalPipes: Bool
  /// `/proc` may be used to open a description of our own.
  package var reopens: Bool

  package init(nowaitPipes: Bool, nosignalPipes: Bool, reopens: Bool = true) {
    self.nowaitPipes = nowaitPipes
    self.nosignalPipes = nosignalPipes
    self.reopens = reopens
  }

  private static let probed = KernelFeatures(
    nowaitPipes: swsys_probe_nowait(), nosignalPipes: swsys_probe_nosignal())

  /// A test's choice for the transports made in its scope.
  @TaskLocal package static var override: KernelFeatures?

  package static var current: KernelFeatures { override ?? probed }
}
