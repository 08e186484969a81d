internal import CSysShim
internal import Synchronization

/// The abilities of this kernel for pipes. Each is probed until there is an answer. Tests override it to run the branches for older kernels.
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

  /// The answers; negative if there is none yet.
  private static let nowaitAnswer = Atomic<Int32>(-1)
  private static let nosignalAnswer = Atomic<Int32>(-1)

  /// Without an answer, because no pipe can be made to try, these are the branches that work on every kernel: an attempt on an
  /// anonymous pipe finds out whether it takes RWF_NOWAIT.
  private static var probed: KernelFeatures {
    KernelFeatures(
      nowaitPipes: answer(nowaitAnswer, swsys_probe_nowait) ?? true,
      nosignalPipes: answer(nosignalAnswer, swsys_probe_nosignal) ?? false)
  }

  private static func answer(_ known: borrowing Atomic<Int32>, _ probe: () -> Int32) -> Bool? {
    var found = known.load(ordering: .relaxed)
    if found < 0 {
      found = probe()
      if found >= 0 { known.store(found, ordering: .relaxed) }
    }
    return found < 0 ? nil : found > 0
  }

  /// Set by tests, for the transports made in its scope.
  @TaskLocal package static var override: KernelFeatures?

  package static var current: KernelFeatures { override ?? probed }
}
