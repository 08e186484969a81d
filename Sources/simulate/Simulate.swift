import Glibc
import SWSimulation

/// `simulate --seeds N [--first S]` plays many schedules; `simulate --seed S` plays one and prints every
/// step. `--mistake NAME` has something go wrong on purpose. Exits with 1 when a schedule fails.
@main
enum Simulate {
  // Invariant: written by the only thread, read by its signal handler.
  nonisolated(unsafe) private static var current: UInt64 = 0

  static func main() {
    var count: UInt64 = 1000
    var first: UInt64 = 1
    var single: UInt64?
    var mistake: Mistake?
    var arguments = CommandLine.arguments.dropFirst()
    while let option = arguments.popFirst() {
      guard let text = arguments.popFirst() else { usage() }
      if option == "--mistake", let named = Mistake(rawValue: text) {
        mistake = named
        continue
      }
      guard let value = UInt64(text) else { usage() }
      switch option {
      case "--seeds": count = value
      case "--first": first = value
      case "--seed": single = value
      default: usage()
      }
    }
    tellSeedOfTraps()
    if let single { replay(single, mistake) } else { play(first..<(first + count), mistake) }
  }

  private static func usage() -> Never {
    print("usage: simulate (--seeds N [--first S] | --seed S) [--mistake NAME]")
    print("mistakes: \(Mistake.allCases.map(\.rawValue).joined(separator: ", "))")
    exit(2)
  }

  private static func replay(_ seed: UInt64, _ mistake: Mistake?) {
    unsafe current = seed
    let report = Simulation.run(seed: seed, mistake: mistake, isTracing: true)
    print("seed \(seed): \(report.stepCount) steps, trace \(String(report.traceHash, radix: 16))")
    guard let failure = report.failure else { return }
    print("seed \(seed) failed: \(failure)")
    exit(1)
  }

  private static func play(_ seeds: Range<UInt64>, _ mistake: Mistake?) {
    let clock = ContinuousClock()
    let start = clock.now
    var lastLine = start
    var coverage = Coverage()
    var steps = 0
    var failures = 0
    for seed in seeds {
      unsafe current = seed
      let report = Simulation.run(seed: seed, mistake: mistake)
      coverage.add(report.coverage)
      steps += report.stepCount
      if let failure = report.failure {
        failures += 1
        print("seed \(seed) failed: \(failure)\n  replay with: swift run -c release simulate --seed \(seed)")
        if failures == 10 { exit(1) }
      }
      if seed % 256 == 0, clock.now - lastLine > .seconds(5) {
        lastLine = clock.now
        print("\(seed - seeds.lowerBound + 1) of \(seeds.count) schedules, \(lastLine - start)")
      }
    }
    print(coverage.table)
    print("\(seeds.count) schedules, \(steps) steps, \(clock.now - start), \(failures) failed")
    if failures > 0 { exit(1) }
  }

  /// An invariant that does not hold traps inside the core. The handler prints the seed of that schedule.
  private static func tellSeedOfTraps() {
    for number in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS] {
      signal(number) { number in
        // The handler uses only what is safe in a signal handler: digits from the last to the first, and write(2).
        unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { text in
          var index = 63
          unsafe text[index] = 10
          var rest = unsafe Simulate.current
          repeat {
            index -= 1
            unsafe text[index] = UInt8(48 + rest % 10)
            rest /= 10
          } while rest > 0
          for byte: UInt8 in [0x20, 0x64, 0x65, 0x65, 0x73, 0x20, 0x74, 0x61, 0x20, 0x70, 0x61, 0x72, 0x74] {
            index -= 1
            unsafe text[index] = byte
          }
          _ = unsafe write(1, text.baseAddress?.advanced(by: index), 64 - index)
        }
        _ = signal(number, SIG_DFL)
        _ = raise(number)
      }
    }
  }
}
