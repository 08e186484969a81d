import Foundation
import SWPickle
import TestSupport
import Testing

/// Paths of pathlib's, whose texts are those of `str(path)`.
@Suite(.lastResort, .leavesNothing) struct PicklePathTests {
  // Python 3.13 pickles the arguments as the program gave them, and joins them when it reads them. The expected texts are its own.

  static let posix: [([String], String)] = [
    (["/srv/data", "/etc/passwd"], "/etc/passwd"),
    (["/a//b/./c/"], "/a/b/c"),
    (["a", "b"], "a/b"),
    (["a/", "b/"], "a/b"),
    (["."], "."),
    (["", ""], "."),
    ([], "."),
    (["//a/b"], "//a/b"),
    (["///a/b"], "/a/b"),
    (["/"], "/"),
    (["a/../b"], "a/../b"),
    (["~/x"], "~/x"),
    (["./a"], "a"),
    (["a", "", "b"], "a/b"),
    (["a", "."], "a"),
    (["é", "/ü"], "/ü"),
    (["C:\\a"], "C:\\a"),
    (["//"], "//"),
    (["/", "a"], "/a"),
  ]

  static let windows: [([String], String)] = [
    (["C:\\a", "D:\\b"], "D:\\b"),
    (["C:/a/b"], "C:\\a\\b"),
    (["C:\\", "a"], "C:\\a"),
    (["C:", "a"], "C:a"),
    (["C:a", "c:b"], "c:a\\b"),
    (["C:\\a", "\\b"], "C:\\b"),
    (["\\\\srv\\share", "a"], "\\\\srv\\share\\a"),
    (["\\\\srv\\share\\", "a"], "\\\\srv\\share\\a"),
    (["//srv/share/a/"], "\\\\srv\\share\\a"),
    (["\\\\?\\C:\\a"], "\\\\?\\C:\\a"),
    (["\\\\?\\UNC\\srv\\share\\a"], "\\\\?\\UNC\\srv\\share\\a"),
    (["\\\\.\\dev"], "\\\\.\\dev"),
    (["a/b"], "a\\b"),
    (["./c:x"], ".\\c:x"),
    (["a", "c:x"], "c:x"),
    ([""], "."),
    ([], "."),
    (["C:\\a", "c:\\b"], "c:\\b"),
    (["C:\\a", "c:b"], "c:\\a\\b"),
    (["\\a", "b"], "\\a\\b"),
    (["é:\\x", "y"], "é:\\x\\y"),
    (["\\\\srv"], "\\\\srv"),
    (["C:", "\\a"], "C:\\a"),
    (["\\\\srv\\share", "\\a"], "\\\\srv\\share\\a"),
    (["C:\\.\\a\\\\b\\"], "C:\\a\\b"),
    (["."], "."),
    (["\\\\?\\unc\\srv\\share", "x"], "\\\\?\\unc\\srv\\share\\x"),
    (["\\\\srv\\share", "b:c"], "b:c"),
    (["\\\\.\\a\\b", "c"], "\\\\.\\a\\b\\c"),
    (["//", "a"], "\\\\a"),
    (["/", "a"], "\\a"),
    (["\\\\?\\UNC\\srv", "a"], "\\\\?\\UNC\\srv\\a\\"),
    (["a:b:c"], "a:b:c"),
    (["É:a", "é:b"], "é:a\\b"),
  ]

  private func path(_ name: String, _ arguments: [String]) -> PickleValue {
    .object(PickleName("pathlib._local", name), arguments.map { PickleValue($0) })
  }

  @Test(arguments: posix) func `a POSIX path is joined as Python joins it`(
    _ arguments: [String], _ expected: String
  ) throws {
    let value = path("PurePosixPath", arguments)
    #expect(try PickleDecoder().decode(String.self, from: value) == expected)
  }

  @Test(arguments: windows) func `a path of Windows is joined as Python joins it`(
    _ arguments: [String], _ expected: String
  ) throws {
    let value = path("PureWindowsPath", arguments)
    #expect(try PickleDecoder().decode(String.self, from: value) == expected)
  }

  @Test func `a path of Windows with a drive is a URL, in any notation`() throws {
    for arguments in [["C:/a/b c"], ["C:\\", "a", "b c"], ["x", "C:\\a\\b c\\"]] {
      let url = try PickleDecoder().decode(URL.self, from: path("PureWindowsPath", arguments))
      #expect(url.absoluteString == "file:///C:/a/b%20c")
    }
    let url = try PickleDecoder().decode(URL.self, from: path("PosixPath", ["/srv/data", "/etc/passwd"]))
    #expect(url.path == "/etc/passwd")
  }
}
