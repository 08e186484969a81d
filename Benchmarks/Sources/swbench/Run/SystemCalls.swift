internal import CFloor
internal import Foundation

/// The refusal of a call of the C target.
struct SystemFailure: Error, CustomStringConvertible {
  var operation: String
  var errno: Int32

  var description: String { "\(operation): \(unsafe String(cString: strerror(errno)))" }
}

/// Returns the result of a call of the C target, or throws its error.
@discardableResult
func checked(_ operation: String, _ result: Int32) throws -> Int32 {
  if result < 0 { throw SystemFailure(operation: operation, errno: -result) }
  return result
}

/// Runs blocking work on a separate thread, because the pool's threads are for the measured code.
func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread { continuation.resume(with: Swift.Result { try body() }) }
  }
}
