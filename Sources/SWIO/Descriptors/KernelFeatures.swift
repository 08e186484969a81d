internal import CSysShim

/// The abilities of this kernel for pipes. Probed once. Tests override it to run the branches for older kernels.
package struct KernelFeatures: Sendable {
  /// Whether anonymous pipes take `RWF_NOWAIT` (about Linux 6.4). Without it the pipe is opened again through
  /// `/proc/self/fd`, with `O_NONBLOCK`.
  package var nowaitPipes: Bool
  /// Whether pipes take `RWF_NOSIGNAL` (about Linux 6.18). Without it SIGPIPE is blocked in the thread, and taken back if it
  /// was raised.
  package var nosignalPipes: Bool
  /// Whether `/proc` may be used to open a descriptor again.
  package var reopens: Bool

  package init(nowaitPipes: Bool, nosignalPipes: Bool, reopens: Bool = true) {
    self.nowaitPipes = nowaitPipes
    self.nosignalPipes = nosignalPipes
    self.reopens = reopens
  }

  /// Whether the kernel frees descriptors that travel in a circle on a thread of its own (Linux 6.9). An older kernel may do
  /// that in the close of any Unix socket, and then the close takes as long as those descriptors like.
  package static let collectsInBackground = swsys_kernel_is_at_least(6, 9)

  private static let probed = KernelFeatures(
    nowaitPipes: swsys_probe_nowait(), nosignalPipes: swsys_probe_nosignal())

  /// Set by tests, for the transports made in its scope.
  @TaskLocal package static var override: KernelFeatures?

  package static var current: KernelFeatures { override ?? probed }
}
