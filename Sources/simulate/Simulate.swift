import Glibc
import SWSimulation

/// `simulate --seeds N [--first S]` plays many schedules; `simulate --seed S` plays one and prints every
/// step. `--world listener` simulates a listener instead of endpoints. `--mistake NAME` has something go wrong on purpose.
/// Exits with 1 when a schedule fails.
@main
enum Simulate {
  // Invariant: written by the only thread, read by its signal handler.
  nonisolated(unsafe) private static var current: UInt64 = 0

  static func main() {
    var count: UInt64 = 1000
    var first: UInt64 = 1
    var single: UInt64?
    var mistake: String?
    var isListener = false
    var arguments = CommandLine.arguments.dropFirst()
    while let option = arguments.popFirst() {
      guard let text = arguments.popFirst() else { usage() }
      switch option {
      case "--mistake":
        mistake = text
        continue
      case "--world":
        guard ["endpoints", "listener"].contains(text) else { usage() }
        isListener = text == "listener"
        continue
      default: break
      }
      guard let value = UInt64(text) else { usage() }
      switch option {
      case "--seeds": count = value
      case "--first": first = value
      case "--seed": single = value
      default: usage()
      }
    }
    let world: any SimulatedWorld
    if isListener {
      guard let named = named(mistake, ListenerMistake.init) else { usage() }
      world = ListenerSchedules(mistake: named.value)
    } else {
      guard let named = named(mistake, Mistake.init) else { usage() }
      world = EndpointSchedules(mistake: named.value)
    }
    tellSeedOfTraps()
    if let single { replay(single, world) } else { play(first..<(first + count), world) }
  }

  /// A mistake by its name: nil if there is none of that name.
  private static func named<M>(_ name: String?, _ make: (String) -> M?) -> (value: M?, Void)? {
    guard let name else { return (nil, ()) }
    return make(name).map { ($0, ()) }
  }

  private static func usage() -> Never {
    print("usage: simulate (--seeds N [--first S] | --seed S) [--world endpoints|listener] [--mistake NAME]")
    print("mistakes: \(Mistake.allCases.map(\.rawValue).joined(separator: ", "))")
    print("of a listener: \(ListenerMistake.allCases.map(\.rawValue).joined(separator: ", "))")
    exit(2)
  }

  private static func replay(_ seed: UInt64, _ world: any SimulatedWorld) {
    unsafe current = seed
    var world = world
    let report = world.run(seed, isTracing: true)
    print("seed \(seed): \(report.stepCount) steps, trace \(String(report.traceHash, radix: 16))")
    guard let failure = report.failure else { return }
    print("seed \(seed) failed: \(failure)")
    exit(1)
  }

  private static func play(_ seeds: Range<UInt64>, _ world: any SimulatedWorld) {
    var world = world
    let clock = ContinuousClock()
    let start = clock.now
    var lastLine = start
    var steps = 0
    var failures = 0
    for seed in seeds {
      unsafe current = seed
      let report = world.run(seed, isTracing: false)
      steps += report.stepCount
      if let failure = report.failure {
        failures += 1
        print(
          "seed \(seed) failed: \(failure)\n  replay with: swift run -c release simulate \(world.option)--seed \(seed)"
        )
        if failures == 10 { exit(1) }
      }
      if seed % 256 == 0, clock.now - lastLine > .seconds(5) {
        lastLine = clock.now
        print("\(seed - seeds.lowerBound + 1) of \(seeds.count) schedules, \(lastLine - start)")
      }
    }
    print(world.table)
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

/// The schedules of one kind, and what those that were played have come by.
private protocol SimulatedWorld {
  /// The arguments of `simulate` that select this world.
  var option: String { get }
  var table: String { get }
  mutating func run(_ seed: UInt64, isTracing: Bool) -> (failure: String?, stepCount: Int, traceHash: UInt64)
}

private struct EndpointSchedules: SimulatedWorld {
  let mistake: Mistake?
  private var coverage = Coverage()

  init(mistake: Mistake?) { self.mistake = mistake }

  var option: String { "" }
  var table: String { coverage.table }

  mutating func run(_ seed: UInt64, isTracing: Bool) -> (failure: String?, stepCount: Int, traceHash: UInt64)
  {
    let report = Simulation.run(seed: seed, mistake: mistake, isTracing: isTracing)
    coverage.add(report.coverage)
    return (report.failure, report.stepCount, report.traceHash)
  }
}

private struct ListenerSchedules: SimulatedWorld {
  let mistake: ListenerMistake?
  private var coverage = ListenerCoverage()

  init(mistake: ListenerMistake?) { self.mistake = mistake }

  var option: String { "--world listener " }
  var table: String { coverage.table }

  mutating func run(_ seed: UInt64, isTracing: Bool) -> (failure: String?, stepCount: Int, traceHash: UInt64)
  {
    let report = ListenerSimulation.run(seed: seed, mistake: mistake, isTracing: isTracing)
    coverage.add(report.coverage)
    return (report.failure, report.stepCount, report.traceHash)
  }
}
