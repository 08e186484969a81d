internal import CFloor
internal import Foundation

/// The refusal of a call of the C target.
struct SystemFailure: Error, CustomStringConvertible {
  var operation: String
  var errno: Int32

  var description: String { "\(operation): \(unsafe String(cString: strerror(errno)))" }
}

/// The result of a call of the C target, or what it refused.
@discardableResult
func checked(_ operation: String, _ result: Int32) throws -> Int32 {
  if result < 0 { throw SystemFailure(operation: operation, errno: -result) }
  return result
}

/// Runs blocking work on a thread of its own: the pool's threads are for what is measured.
func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread { continuation.resume(with: Swift.Result { try body() }) }
  }
}
