// Protobuf messages through a socket, both ways: one end uses swift-protobuf's own `BinaryDelimited` on the
// bare bytes, the other `.protobufDelimited` with a mapping to the message's type. Prints the frames in
// hexadecimal, which is where the golden data of the tests comes from.
//
//     swift run --package-path Examples/Protobuf
import Foundation
import SWMessaging
import SwiftProtobuf

typealias Value = Google_Protobuf_Struct

let framing = ProtobufDelimitedFraming.protobufDelimited.mapping(
  receiving: { bytes in try Value(serializedBytes: bytes) },
  sending: { (value: Value) in try value.serializedBytes() })

let values: [Value] = [
  Value(),
  Value(fields: ["text": Google_Protobuf_Value(stringValue: "hello")]),
  Value(fields: ["long": Google_Protobuf_Value(stringValue: String(repeating: "x", count: 300))]),
]

/// All of them as swift-protobuf writes a stream.
func delimited(_ values: [Value]) throws -> [UInt8] {
  let output = OutputStream.toMemory()
  output.open()
  for value in values { try BinaryDelimited.serialize(message: value, to: output) }
  output.close()
  guard let data = output.property(forKey: .dataWrittenToMemoryStreamKey) as? Data else {
    preconditionFailure("a stream in memory has its data")
  }
  return [UInt8](data)
}

let (raw, peer) = try makeSocketPair()
let messages = MessageDuplex(over: peer, framing: framing)

// swift-protobuf writes, we receive.
let stream = try delimited(values)
_ = try await raw.send(stream)
for value in values {
  let received = try await messages.receive(timeout: .seconds(60))
  precondition(received == value, "\(received)")
}
print("swift-protobuf's stream: \(stream.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())")

// We send, swift-protobuf reads.
for value in values { try await messages.send(value) }
messages.finishSending()
let sent = try await raw.receive(exactly: stream.count, timeout: .seconds(60))
let input = InputStream(data: Data(sent))
input.open()
for value in values {
  let received = try BinaryDelimited.parse(messageType: Value.self, from: input)
  precondition(received == value, "\(received)")
}
print("\(values.count) messages went each way")
