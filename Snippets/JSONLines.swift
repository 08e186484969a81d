// Typed messages: JSON on lines, with one type in each direction. The other end's framing is this one,
// flipped.
import SWJSON
import SWMessaging

struct Request: Codable, Sendable {
  var id: Int
  var numbers: [Double]
}

enum Reply: Codable, Sendable {
  case sum(id: Int, Double)
  case refused(id: Int, why: String)
}

let client = LineFraming.lines.json(receiving: Reply.self, sending: Request.self)
let (left, right) = try makeSocketPair(framing: client, peer: client.flipped)

let server = Task {
  for try await request in right.messages {
    if request.numbers.isEmpty {
      try await right.send(.refused(id: request.id, why: "nothing to add\nup"))
    } else {
      try await right.send(.sum(id: request.id, request.numbers.reduce(0, +)))
    }
  }
}

try await left.send(Request(id: 1, numbers: [1, 2.5]))
try await left.send(Request(id: 2, numbers: []))
guard case .sum(id: 1, let sum) = try await left.receive(timeout: .seconds(60)),
  case .refused(id: 2, let why) = try await left.receive(timeout: .seconds(60))
else { preconditionFailure("another reply was expected") }
print("1 + 2.5 = \(sum)")
print("refused: \(why)")
precondition(sum == 3.5 && why == "nothing to add\nup")
left.finishSending()
try await server.value

// Prints:
//   1 + 2.5 = 3.5
//   refused: nothing to add
//   up
