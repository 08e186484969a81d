import SWFraming
import SWIO
import SWMessaging
import SWTesting

extension EndpointCore {
  /// The side with which a message reader over it receives.
  func side<F: Framing>(_ framing: F, _ mode: ReceiveMode = .readAhead) -> ReceivingSide<F> {
    MessageReader(core: self, framing: framing, mode: mode, maximumFrameSize: defaultMaximumFrameSize)
      .receivingSide
  }
}

/// A scripted transport with the halves over it and a reactor, all driven by hand: no thread, no task, no
/// clock.
struct HandDriven {
  let transport: ScriptedTransport
  let reactor: ManualReactor
  let core: EndpointCore

  init(
    receiving: [ScriptedTransport.ReceiveStep] = [], sending: [ScriptedTransport.SendStep]? = nil,
    reactor: ManualReactor = ManualReactor()
  ) {
    self.reactor = reactor
    transport = ScriptedTransport(receiving: receiving, sending: sending)
    core = EndpointCore(transport, for: [.readable, .writable], reactor: reactor)
  }

  func side<F: Framing>(_ framing: F, _ mode: ReceiveMode = .readAhead) -> ReceivingSide<F> {
    core.side(framing, mode)
  }

  var receiveHalf: ReceiveHalf {
    guard let half = core.receiving else { preconditionFailure("it was made with both halves") }
    return half
  }

  var sendHalf: SendHalf {
    guard let half = core.sending else { preconditionFailure("it was made with both halves") }
    return half
  }

  /// More comes: the endpoint is told, and the reactor drives if it was asked to.
  func bring(_ steps: ScriptedTransport.ReceiveStep...) {
    transport.append(receiving: steps)
    reactor.drive()
  }

  /// More is accepted, likewise.
  func accept(_ steps: ScriptedTransport.SendStep...) {
    transport.append(sending: steps)
    reactor.drive()
  }
}

/// How a hand-driven call ended, or where it waits.
enum HandStarted<Value: Sendable>: Sendable {
  case ended(Value)
  case waiting(HandCaller)

  var caller: HandCaller? { if case .waiting(let caller) = self { caller } else { nil } }
}

extension HandDriven {
  func receive(
    _ request: ReceiveRequest, as kind: Place.Kind = .task, mayWait: Bool = true
  ) -> HandStarted<ReceiveHalf.Outcome> {
    switch receiveHalf.start(request, as: kind, until: mayWait ? .never : .immediately) {
    case .ended(let outcome): .ended(outcome)
    case .queued(let place): .waiting(HandCaller(place, in: receiveHalf))
    }
  }

  func send(_ call: SendHalf.Call) -> HandStarted<EndpointError?> {
    switch sendHalf.start(call) {
    case .ended(let error): .ended(error)
    case .queued(let place): .waiting(HandCaller(place, in: sendHalf))
    }
  }

  func send(
    _ bytes: [UInt8], borders: [Int] = [], as kind: Place.Kind = .task, mayWait: Bool = true
  ) -> HandStarted<EndpointError?> {
    send(SendHalf.Call(Outgoing(bytes, borders: borders), as: kind, until: mayWait ? .never : .immediately))
  }

  /// The outcome of a receive, when it has one.
  func outcome(_ started: HandStarted<ReceiveHalf.Outcome>) -> ReceiveHalf.Outcome? {
    switch started {
    case .ended(let outcome): return outcome
    case .waiting(let caller):
      guard caller.isDecided, let place = caller.place as? ReceivePlace else { return nil }
      return receiveHalf.outcome(of: place)
    }
  }

  /// The message of a receive, or its error; nil as long as it waits.
  func result<F: Framing>(
    _ started: HandStarted<ReceiveHalf.Outcome>, _ side: ReceivingSide<F>
  ) -> Result<F.Incoming, EndpointError>? {
    outcome(started).map { outcome in
      Result { () throws(EndpointError) in try side.message(outcome) }
    }
  }

  /// The bytes of a raw receive.
  func bytes(_ started: HandStarted<ReceiveHalf.Outcome>) -> [UInt8]? {
    switch outcome(started) {
    case .lent(let demand):
      let bytes = unsafe receiveHalf.turn.takePayload(of: demand)
      receiveHalf.finishLoan(demand)
      return bytes
    case .delivered(let delivery): return delivery.bytes
    case .failed, nil: return nil
    }
  }

  /// How a send ended: nil as long as it waits, `.success` when every byte was accepted.
  func result(_ started: HandStarted<EndpointError?>) -> Result<Void, EndpointError>? {
    switch started {
    case .ended(let error): return error.map { .failure($0) } ?? .success(())
    case .waiting(let caller):
      guard caller.isDecided, let place = caller.place as? SendPlace else { return nil }
      return place.error.map { .failure($0) } ?? .success(())
    }
  }
}

extension Result {
  var error: Failure? { if case .failure(let error) = self { error } else { nil } }
  var value: Success? { if case .success(let value) = self { value } else { nil } }
}
