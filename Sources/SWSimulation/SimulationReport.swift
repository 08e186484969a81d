/// The result of one schedule.
package struct SimulationReport: Sendable {
  package let seed: UInt64
  /// The failure, if there was one.
  package let failure: String?
  /// A hash of everything that happened, in order. Equal schedules have equal hashes.
  package let traceHash: UInt64
  package let stepCount: Int
  package let coverage: Coverage
}
