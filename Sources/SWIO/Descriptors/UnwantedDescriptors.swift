internal import CSysShim
internal import Synchronization

/// The descriptors that have come over one socket and nobody wants, until they are closed.
///
/// A close may take as long as the peer likes. So sockets are parked at once: their numbers are free, whatever becomes of the
/// close. Other files wait for a thread, which parks them all before it closes them: none of the closes of the numbers is the
/// last one of its file then.
package final class UnwantedDescriptors: Sendable {
  private struct State: Sendable {
    /// The number of batches that are not closed yet.
    var batchCount = 0
    /// The number of descriptors that still have a number.
    var count = 0
  }

  private let state = Guarded(State())

  package init() {}

  /// Whether a connection receives nothing for now, so that its peer cannot pass descriptors faster than they are closed. Each
  /// batch may occupy a thread.
  package var areTooMany: Bool {
    state.withLock { $0.batchCount >= Self.mostBatches || Self.fillTable($0) }
  }
  package static var mostBatches: Int { 4 }

  /// Whether a socket with many peers receives nothing for now. Batches do not count, because one peer would stop all others
  /// with four closes that take as long as it likes.
  package var fillTable: Bool { state.withLock { Self.fillTable($0) } }

  /// Whether more descriptors have a number than one message can bring (SCM_MAX_FD). Even a close that is not the last one of
  /// its file may take long, because FUSE tells its server.
  private static func fillTable(_ state: State) -> Bool { state.count > 253 }

  /// The descriptors that are closed together count as one batch until all of them are closed.
  private final class Batch: Sendable {
    /// The number of its parts that are not closed yet.
    let count = Atomic(0)
  }

  private func begin(_ batch: Batch) { batch.count.add(1, ordering: .relaxed) }

  private func end(_ batch: Batch) {
    let isLast = batch.count.subtract(1, ordering: .acquiringAndReleasing).newValue == 0
    if isLast { state.withLock { $0.batchCount -= 1 } }
  }

  /// Closes descriptors soon, and owns their numbers from now on. Any thread may call it, and none waits.
  package func close(_ numbers: [Int32]) {
    if numbers.isEmpty { return }
    var unix: [Int32] = []
    var sockets: [Int32] = []
    var others: [Int32] = []
    for number in numbers {
      switch swsys_socket_family(number) {
      case Int32(SWSYS_UNIX_FAMILY): unix.append(number)
      case 0...: sockets.append(number)
      default: others.append(number)
      }
    }
    state.withLock { state in
      state.batchCount += 1
      state.count += numbers.count
    }
    let batch = Batch()
    begin(batch)
    if !unix.isEmpty || !sockets.isEmpty { park(unix, sockets, in: batch) }
    closeOnThread(others[...], in: batch)
    end(batch)
  }

  private func park(_ unix: [Int32], _ sockets: [Int32], in batch: Batch) {
    // A message has no room for more.
    let isMany = unix.count + sockets.count > 251
    let first = isMany ? Array(unix.prefix(100)) : unix
    let second = isMany ? Array(sockets.prefix(100)) : sockets
    begin(batch)
    if ParkedSockets.shared.park(first, behind: second, whenClosed: { [self] in end(batch) }) {
      state.withLock { $0.count -= first.count + second.count }
      if isMany {
        park(Array(unix.dropFirst(first.count)), Array(sockets.dropFirst(second.count)), in: batch)
      }
    } else {
      closeOnThread((unix + sockets)[...], in: batch)
      end(batch)
    }
  }

  private func closeOnThread(_ numbers: ArraySlice<Int32>, in batch: Batch) {
    if numbers.isEmpty { return }
    begin(batch)
    CloserThread.runForPeer { [self] in
      closeAll(numbers, in: batch)
      end(batch)
    }
  }

  private func closeAll(_ numbers: ArraySlice<Int32>, in batch: Batch) {
    guard let first = numbers.first else { return }
    let parked =
      numbers.count == 1
      ? -1 : unsafe numbers.withUnsafeBufferPointer { unsafe swsys_park($0.baseAddress, Int32($0.count)) }
    if parked >= 0 {
      for number in numbers { close(number) }
      return OwnedDescriptor.closeHere(parked)
    }
    // No numbers are free for the socket, or too many descriptors are in flight (ETOOMANYREFS). A close frees its number before
    // it waits, so the others need another thread.
    closeOnThread(numbers.dropFirst(), in: batch)
    close(first)
  }

  private func close(_ number: Int32) {
    state.withLock { $0.count -= 1 }
    OwnedDescriptor.closeHere(number)
  }
}
