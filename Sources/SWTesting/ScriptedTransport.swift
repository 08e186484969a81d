public import SWIO
internal import Synchronization
public import SystemPackage

/// A transport that plays a script: each attempt takes the next step of its direction. Tests use it to decide exactly
/// what each system call would return.
///
/// ```swift
/// let transport = ScriptedTransport(receiving: [.bytes([2, 0x68]), .wouldBlock, .bytes([0x69]), .endOfStream])
/// let reader = MessageReader(transport: transport, framing: .varInt)
/// ```
///
/// When the script has ended, attempts would block. Steps that are appended later make the direction ready and signal
/// the endpoint. Without a script for sending, every byte is accepted.
///
/// It is safe to use from any thread. It signals readiness without holding a lock.
public final class ScriptedTransport: SocketLike {
  /// The result of an attempt to receive.
  @nonexhaustive
  public enum ReceiveStep: Hashable, Sendable {
    /// These bytes arrive. Bytes that do not fit are left for the next attempt.
    case bytes([UInt8])
    case wouldBlock
    case waitsFor(Readiness)
    /// The attempt may take long and is offloaded. The offloaded attempt takes the next step.
    case offload
    /// The stream ends. Later attempts find the end, too.
    case endOfStream
    case failure(Errno)
  }

  /// The result of an attempt to send.
  @nonexhaustive
  public enum SendStep: Hashable, Sendable {
    /// At most this number of bytes is accepted.
    case accept(Int)
    case wouldBlock
    case waitsFor(Readiness)
    /// The attempt may take long and is offloaded. The offloaded attempt takes the next step.
    case offload
    case failure(Errno)
  }

  private struct State: Sendable {
    var receiving: [ReceiveStep]
    /// Nil if everything is accepted.
    var sending: [SendStep]?
    var signal: ReadinessSignal?
    var sent: [UInt8] = []
    var receiveCount = 0
    var sendCount = 0
    var isSendingFinished = false
    var closeCount = 0
  }

  private let state: Guarded<State>

  /// - Parameters:
  ///   - receiving: the script for receiving.
  ///   - sending: the script for sending. If it is nil, every byte is accepted.
  public init(receiving: [ReceiveStep] = [], sending: [SendStep]? = nil) {
    state = Guarded(State(receiving: receiving, sending: sending))
  }

  // MARK: For tests

  /// Appends steps, and signals that receiving may make progress.
  public func append(receiving steps: [ReceiveStep]) {
    state.withLock { $0.receiving += steps }
    raise(.readable)
  }

  /// Appends steps, and signals that sending may make progress.
  public func append(sending steps: [SendStep]) {
    state.withLock { $0.sending = ($0.sending ?? []) + steps }
    raise(.writable)
  }

  /// Signals readiness to the endpoint, whether or not it is true.
  public func raise(_ readiness: Readiness) { state.withLock { $0.signal }?.raise(readiness) }

  /// The accepted bytes, in order.
  public var sent: [UInt8] { state.withLock { $0.sent } }
  /// The number of attempts to receive.
  public var receiveCount: Int { state.withLock { $0.receiveCount } }
  /// The number of attempts to send.
  public var sendCount: Int { state.withLock { $0.sendCount } }
  /// Whether both scripts have ended.
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
