/// What came of one schedule.
package struct SimulationReport: Sendable {
  package let seed: UInt64
  /// What went wrong, if anything did.
  package let failure: String?
  /// Stands for everything that happened, in order: equal for equal schedules.
  package let traceHash: UInt64
  package let stepCount: Int
  package let coverage: Coverage
}
