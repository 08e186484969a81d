import SWMultiprocessing
import SWPickle
import TestSupport
import Testing

/// The texts of exceptions that a server has raised, or says that it has.
@Suite(.lastResort, .leavesNothing) struct RemoteFailureTests {
  @Test func `an exception is told by its class and its arguments`() {
    let error = PickleValue.object(PickleName("builtins", "ValueError"), ["no", 7])
    #expect(RemoteFailure.exception(error).description == "Python raised ValueError: no, 7")
    let other = PickleValue.object(PickleName("app", "Failure"), [])
    #expect(RemoteFailure.exception(other).description == "Python raised app.Failure")
    #expect(RemoteFailure.traceback("a\nb: c\n").description == "Python's server failed: b: c")
  }

  @Test func `of a text that the server chooses, one short line is shown`() {
    let control = "\u{1b}[2J\u{9b}1A\r\u{202e}"
    let shown = #"\u{1B}[2J\u{9B}1A\r\u{202E}"#
    for text in [control, control + String(repeating: "x", count: 1_000_000)] {
      let failures: [RemoteFailure] = [
        .exception(.object(PickleName("builtins", text), [])), .exception(.object(PickleName("m", text), [])),
        .exception(.object(PickleName("m", "E"), [PickleValue(text)])), .exception(PickleValue(text)),
        .traceback(text), .unserializable(text),
      ]
      for failure in failures {
        let told = MultiprocessingError(.remote(failure)).description
        #expect(told.contains(shown) && told.utf8.count < 2000, "\(told.prefix(200))")
        #expect(told == failure.description)
        #expect(!told.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x9b || $0.value == 0x202e })
      }
    }
  }
}
