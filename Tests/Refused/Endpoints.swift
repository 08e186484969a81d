// Code that a program that uses the library must not be able to write. See scripts/api.
import SWMessaging

func refuseForeignParts(
  _ reader: SocketReader, _ writer: SocketWriter, _ messages: MessageReader<VarIntFraming>
) {
  _ = SocketWriter(core: reader.core)  // refused: cannot convert value of type 'EndpointCore'
  _ = SocketWriter(reader.core)  // refused: cannot convert value of type 'EndpointCore'
  _ = SocketReader(core: writer.core)  // refused: cannot convert value of type 'EndpointCore'
  _ = MessageDuplex(core: reader.core, framing: .varInt, mode: .exact)  // refused: extra argument 'core'
  _ = MessageWriter(core: messages.core, framing: .varInt)  // refused: no exact matches
  _ = AdoptedTransport(reader.core)  // refused: inaccessible
  _ = ByteReceivingSide(writer.core)  // refused: inaccessible
  _ = SendingSide(reader.core)  // refused: inaccessible
  _ = MessageReader(over: reader, framing: .varInt, mode: .exact)  // refused: extra argument 'mode' in call
}

func refuseBlocking(
  _ raw: Blocking<SocketDuplex>, _ messages: Blocking<MessageDuplex<VarIntFraming>>, _ duplex: SocketDuplex
) async throws {
  _ = duplex.blocking  // refused: unavailable from asynchronous contexts
  _ = try raw.receive()  // refused: unavailable from asynchronous contexts
  _ = try raw.receive(exactly: 1)  // refused: unavailable from asynchronous contexts
  _ = try raw.receive(upTo: 1)  // refused: unavailable from asynchronous contexts
  try raw.send([1])  // refused: unavailable from asynchronous contexts
  try raw.send("x")  // refused: unavailable from asynchronous contexts
  try raw.send([1], passing: [])  // refused: unavailable from asynchronous contexts
  try raw.flush()  // refused: unavailable from asynchronous contexts
  try raw.close(drainingFor: .zero)  // refused: unavailable from asynchronous contexts
  try raw.close(drainingUntil: .now)  // refused: unavailable from asynchronous contexts
  _ = try messages.receive()  // refused: unavailable from asynchronous contexts
  _ = try messages.next()  // refused: unavailable from asynchronous contexts
  _ = try messages.withMessage { $0.count }  // refused: unavailable from asynchronous contexts
  try messages.send([1])  // refused: unavailable from asynchronous contexts
  try messages.send("x")  // refused: unavailable from asynchronous contexts
  try messages.send([1][...])  // refused: unavailable from asynchronous contexts
  try messages.send(contentsOf: [[1]])  // refused: unavailable from asynchronous contexts
}

func refuseExhaustiveSwitch(_ mode: ReceiveMode) -> Int {
  switch mode {  // refused: may have additional unknown values
  case .readAhead: 1
  case .exact: 2
  }
}

func acceptWhatIsMeant(_ reader: MessageReader<VarIntFraming>, _ duplex: MessageDuplex<VarIntFraming>)
  async throws
{
  let deadline = Deadline.after(.seconds(1))
  _ = try await reader.receive(timeout: .seconds(1), until: deadline)
  _ = try await MessageReader(over: duplex).next(until: deadline)
  try await MessageWriter(over: duplex).send("x", timeout: .zero)
}

// A type can only conform by handing on what another endpoint has: it cannot make a side of its own.
extension SocketReader: ByteSending {  // refused: does not conform
}
