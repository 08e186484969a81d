internal import CTrapNote

/// Runs code that may trap. If it does, standard error first shows the text.
func noting<Result, Failure: Error>(
  _ text: String, _ body: () throws(Failure) -> Result
) throws(Failure) -> Result {
  unsafe text.withCString { text in unsafe trapnote_set(text) }
  defer { trapnote_set(nil) }
  return try body()
}
