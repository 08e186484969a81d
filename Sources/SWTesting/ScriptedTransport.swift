public import SWIO
internal import Synchronization
public import SystemPackage

/// A transport that plays a script: each attempt takes the next step of its direction. For tests that drive
/// an endpoint by hand and want to say exactly what the other side of the system call does.
///
/// ```swift
/// let transport = ScriptedTransport(receiving: [.bytes([2, 0x68]), .wouldBlock, .bytes([0x69]), .endOfStream])
/// let reader = MessageReader(transport: transport, framing: .varInt)
/// ```
///
/// When the script has run out, attempts would block. Steps that are appended later make the direction
/// ready, and the endpoint is told. Without a script for sending, everything is accepted.
///
/// Safe to use from any thread; readiness is signalled without a lock held.
public final class ScriptedTransport: SocketLike {
  /// What a receive finds.
  @nonexhaustive
  public enum ReceiveStep: Hashable, Sendable {
    /// So much is there. What does not fit is left for the next attempt.
    case bytes([UInt8])
    case wouldBlock
    case waitsFor(Readiness)
    /// The attempt may take long; made so, it takes the next step.
    case offload
    /// Stays: nothing comes behind it.
    case endOfStream
    case failure(Errno)
  }

  /// What becomes of a send.
  @nonexhaustive
  public enum SendStep: Hashable, Sendable {
    /// So many bytes are accepted, or all if there are fewer.
    case accept(Int)
    case wouldBlock
    case waitsFor(Readiness)
    /// The attempt may take long; made so, it takes the next step.
    case offload
    case failure(Errno)
  }

  private struct State: Sendable {
    var receiving: [ReceiveStep]
    /// Nil: everything is accepted.
    var sending: [SendStep]?
    var signal: ReadinessSignal?
    var sent: [UInt8] = []
    var receiveCount = 0
    var sendCount = 0
    var isSendingFinished = false
    var closeCount = 0
  }

  private let state: Guarded<State>

  /// - Parameter sending: what becomes of sends; nil: everything is accepted.
  public init(receiving: [ReceiveStep] = [], sending: [SendStep]? = nil) {
    state = Guarded(State(receiving: receiving, sending: sending))
  }

  // MARK: For tests

  /// Appends steps, and tells the endpoint that receiving may get on.
  public func append(receiving steps: [ReceiveStep]) {
    state.withLock { $0.receiving += steps }
    raise(.readable)
  }

  /// Appends steps, and tells the endpoint that sending may get on.
  public func append(sending steps: [SendStep]) {
    state.withLock { $0.sending = ($0.sending ?? []) + steps }
    raise(.writable)
  }

  /// Tells the endpoint that attempts may get on, true or not.
  public func raise(_ readiness: Readiness) { state.withLock { $0.signal }?.raise(readiness) }

  /// Everything that was accepted, in order.
  public var sent: [UInt8] { state.withLock { $0.sent } }
  /// How many attempts to receive there were.
  public var receiveCount: Int { state.withLock { $0.receiveCount } }
  /// How many attempts to send there were.
  public var sendCount: Int { state.withLock { $0.sendCount } }
  /// Whether both scripts have been played to their end.
  public var isPlayed: Bool { state.withLock { $0.receiving.isEmpty && ($0.sending ?? []).isEmpty } }
  public var isSendingFinished: Bool { state.withLock { $0.isSendingFinished } }
  public var isClosed: Bool { state.withLock { $0.closeCount > 0 } }

  // MARK: SocketLike

  public var readinessSource: ReadinessSource { .signal }

  public func attach(_ signal: ReadinessSignal) { state.withLock { $0.signal = signal } }

  public func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    // Invariant: used only inside this call, by this thread.
    nonisolated(unsafe) let memory = unsafe memory
    return state.withLock { state in
      precondition(state.closeCount == 0, "an attempt after the transport was closed")
      state.receiveCount += 1
      switch state.receiving.first {
      case nil: return .wouldBlock
      case .wouldBlock:
        state.receiving.removeFirst()
        return .wouldBlock
      case .waitsFor(let readiness):
        state.receiving.removeFirst()
        return .waitsFor(readiness)
      case .offload:
        state.receiving.removeFirst()
        return .offload
      case .endOfStream: return .endOfStream
      case .failure(let errno):
        state.receiving.removeFirst()
        return .failed(TransportError(.receive, errno))
      case .bytes(let bytes):
        let count = unsafe min(bytes.count, memory.count)
        precondition(count > 0, "a step brings at least one byte, and an attempt has room for one")
        unsafe memory.copyBytes(from: bytes[..<count])
        if count == bytes.count {
          state.receiving.removeFirst()
        } else {
          state.receiving[0] = .bytes(Array(bytes[count...]))
        }
        return .transferred(count)
      }
    }
  }

  public func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    // Invariant: used only inside this call, by this thread.
    nonisolated(unsafe) let bytes = unsafe bytes
    return state.withLock { state in
      precondition(state.closeCount == 0, "an attempt after the transport was closed")
      precondition(!state.isSendingFinished, "an attempt after sending was finished")
      state.sendCount += 1
      let step = state.sending == nil ? .accept(.max) : state.sending?.first ?? .wouldBlock
      if state.sending?.isEmpty == false { state.sending?.removeFirst() }
      switch step {
      case .wouldBlock: return .wouldBlock
      case .waitsFor(let readiness): return .waitsFor(readiness)
      case .offload: return .offload
      case .failure(let errno): return .failed(TransportError(.send, errno))
      case .accept(let limit):
        let count = unsafe min(limit, bytes.count)
        precondition(count > 0, "a step accepts at least one byte, and an attempt brings one")
        unsafe state.sent.append(contentsOf: bytes[..<count])
        return .transferred(count)
      }
    }
  }

  public func finishSending() { state.withLock { $0.isSendingFinished = true } }

  public func close() {
    let signal = state.withLock { state in
      precondition(state.closeCount == 0, "a transport is closed once")
      state.closeCount += 1
      return state.signal.take()
    }
    _ = signal  // released here, without the lock
  }
}
