import Testing

@Suite struct PickleTests {
  private func roundTrip(_ line: String, _ format: String) throws -> Program.Run {
    try Program.shell(
      "swcat encode --framing pickle --input \(format) | swcat decode --framing pickle --output \(format)",
      input: Array((line + "\n").utf8))
  }

  @Test(arguments: [
    #"{"t":"datetime","v":"2024-02-29T12:34:56.000789","fold":1,"zone":{"t":"timezone","microseconds":3600000000,"name":"CET"}}"#,
    #"{"t":"date","v":"2023-12-31"}"#, #"{"t":"time","v":"23:59:59"}"#,
    #"{"t":"timedelta","days":-3,"seconds":5,"microseconds":7}"#, #"{"t":"timezone","microseconds":0}"#,
    #"{"t":"decimal","v":"-1.50"}"#, #"{"t":"uuid","v":"00112233445566778899aabbccddeeff"}"#,
    #"{"t":"array","dtype":">i2","shape":[2,3],"order":"F","hex":"000000010002000300040005"}"#,
    #"{"t":"complex","re":"3ff0000000000000","im":"8000000000000000"}"#,
    #"{"t":"float","bits":"fff0000000000000","v":"-inf"}"#,
    #"{"t":"list","id":1,"v":[{"t":"ref","id":1},{"t":"tuple","v":[]},{"t":"bytearray","hex":"00"}]}"#,
    #"{"t":"dict","v":[[{"t":"frozenset","v":[{"t":"int","v":"1"}]},{"t":"str","v":"\n\"\\\u0000é"}]]}"#,
  ])
  func `tagged lines come back as they were`(_ line: String) throws {
    let run = try roundTrip(line, "tagged")
    #expect(run.text == line + "\n")
    #expect(run.complaints.isEmpty)
  }

  @Test(arguments: [
    #"{"id":7,"text":"hello","tags":["a",null,true,1.5,-0.0]}"#, "123456789012345678901234567890", "[]", "{}",
    #""\n\"\\\u0000é😀""#,
  ])
  func `plain JSON lines come back as they were`(_ line: String) throws {
    let run = try roundTrip(line, "json")
    #expect(run.text == line + "\n")
    #expect(run.complaints.isEmpty)
  }

  @Test(arguments: [
    #"{"t":"bytes","hex":"00"}"#, #"{"t":"set","v":[]}"#, #"{"t":"float","bits":"7ff0000000000000"}"#,
    #"{"t":"dict","v":[[{"t":"int","v":"1"},{"t":"none"}]]}"#,
    #"{"t":"list","id":1,"v":[{"t":"ref","id":1}]}"#,
  ])
  func `what plain JSON cannot say is refused there, and text falls back on the tagged form`(_ line: String)
    throws
  {
    let json = try Program.shell(
      "swcat encode --framing pickle --input tagged | swcat decode --framing pickle --output json",
      input: Array((line + "\n").utf8))
    #expect(json.status == 3)
    #expect(json.output.isEmpty)
    let text = try Program.shell(
      "swcat encode --framing pickle --input tagged | swcat decode --framing pickle",
      input: Array((line + "\n").utf8))
    #expect(text.text.hasPrefix(#"{"t":""#))
  }

  @Test(arguments: [
    #"{"t":"set","v":[{"t":"list","v":[]}]}"#,
    #"{"t":"dict","v":[[{"t":"bytearray","hex":""},{"t":"none"}]]}"#,
    #"{"t":"ref","id":4}"#, #"{"t":"tuple","id":1,"v":[{"t":"ref","id":1}]}"#,
    #"{"t":"date","v":"2023-02-29"}"#,
    #"{"t":"time","v":"24:00:00"}"#, #"{"t":"list","v":[3]}"#, #"{"t":"nothing"}"#, "[]", "",
    #"{"t":"dict","id":1,"v":[[{"t":"ref","id":1},{"t":"none"}]]}"#, #"{"t":"int","v":"1.5"}"#,
    #"{"t":"str","utf8":"ff"}"#, #"{"t":"list","fill":{"t":"none"},"n":99999999999}"#,
    #"{"t":"array","dtype":"<f8","shape":[2],"order":"C","hex":"00"}"#,
    #"{"t":"timezone","microseconds":86400000000}"#,
  ])
  func `lines that are no values are refused with a place`(_ line: String) throws {
    let run = try Program.shell(
      "swcat encode --framing pickle --input tagged", input: Array((line + "\n").utf8))
    #expect(run.status == 3)
    #expect(run.complaints.contains("input line 1, at offset"))
    #expect(run.complaints.contains("expected") && run.complaints.contains("found"))
  }

  @Test func `a billion laughs do not fill the memory`() throws {
    // Ten lists, each of ten references to the one before it.
    var value = #"{"t":"str","v":"ha"}"#
    for level in 1...12 {
      let refs = String(repeating: #",{"t":"ref","id":\#(level)}"#, count: 9)
      value =
        #"{"t":"list","v":[\#(value.replacing("{", with: #"{"id":\#(level),"#, maxReplacements: 1))\#(refs)]}"#
    }
    let run = try Program.shell(
      "swcat encode --framing pickle --input tagged | swcat decode --framing pickle --output json",
      input: Array((value + "\n").utf8))
    #expect(run.status == 3)
    #expect(run.complaints.contains("shared"))
  }

  @Test func `hexadecimal digits are the pickle itself`() throws {
    let run = try Program.shell(
      "swcat encode --framing pickle --input hex | tee /dev/fd/2 | swcat decode --framing pickle --output hex",
      input: Array("80044b072e\n".utf8))
    #expect(run.text == "80044b072e\n")
    #expect(Array(run.complaints.utf8).starts(with: [0, 0, 0, 5]))
  }
}
