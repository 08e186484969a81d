import Glibc
import SWSimulation

/// `simulate --seeds N [--first S]` plays many schedules; `simulate --seed S` plays one and prints every
/// step. `--world NAME` simulates something else than endpoints. `--mistake NAME` has something go wrong on purpose.
/// Exits with 1 when a schedule fails.
@main
enum Simulate {
  // Invariant: written by the only thread, read by its signal handler.
  nonisolated(unsafe) private static var current: UInt64 = 0

  private static let worlds: [any Simulation.Type] = [
    EndpointSimulation.self, ListenerSimulation.self, DatagramSimulation.self, ServiceSimulation.self,
  ]

  static func main() {
    var count: UInt64 = 1000
    var first: UInt64 = 1
    var single: UInt64?
    var mistake: String?
    var world: any Simulation.Type = EndpointSimulation.self
    var arguments = CommandLine.arguments.dropFirst()
    while let option = arguments.popFirst() {
      guard let text = arguments.popFirst() else { usage() }
      switch option {
      case "--mistake":
        mistake = text
        continue
      case "--world":
        guard let named = worlds.first(where: { $0.name == text }) else { usage() }
        world = named
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
    tellSeedOfTraps()
    run(world, single, first..<(first + count), mistake)
  }

  private static func run<World: Simulation>(
    _ world: World.Type, _ single: UInt64?, _ seeds: Range<UInt64>, _ mistakeName: String?
  ) {
    let mistake = mistakeName.flatMap(World.Mistake.init)
    if mistakeName != nil, mistake == nil { usage() }
    if let single { replay(single, world, mistake) } else { play(seeds, world, mistake) }
  }

  private static func usage() -> Never {
    let names = worlds.map { $0.name }.joined(separator: "|")
    print("usage: simulate (--seeds N [--first S] | --seed S) [--world \(names)] [--mistake NAME]")
    for world in worlds { print("mistakes of \(world.name): \(mistakes(of: world))") }
    exit(2)
  }

  private static func mistakes<World: Simulation>(of world: World.Type) -> String {
    World.Mistake.allCases.map(\.rawValue).joined(separator: ", ")
  }

  private static func replay<World: Simulation>(
    _ seed: UInt64, _ world: World.Type, _ mistake: World.Mistake?
  ) {
    unsafe current = seed
    let report = world.run(seed: seed, mistake: mistake, isTracing: true)
    print("seed \(seed): \(report.stepCount) steps, trace \(String(report.traceHash, radix: 16))")
    guard let failure = report.failure else { return }
    print("seed \(seed) failed: \(failure)")
    exit(1)
  }

  private static func play<World: Simulation>(
    _ seeds: Range<UInt64>, _ world: World.Type, _ mistake: World.Mistake?
  ) {
    let clock = ContinuousClock()
    let start = clock.now
    var lastLine = start
    var coverage = World.Coverage()
    var steps = 0
    var failures = 0
    for seed in seeds {
      unsafe current = seed
      let report = world.run(seed: seed, mistake: mistake)
      coverage.add(report.coverage)
      steps += report.stepCount
      if let failure = report.failure {
        failures += 1
        print(
          "seed \(seed) failed: \(failure)\n  replay with: swift run -c release simulate --world \(world.name) --seed \(seed)"
        )
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
