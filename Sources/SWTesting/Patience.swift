extension Duration {
  /// How long a test waits for something that must come: longer than a busy machine delays a task, which was more than a
  /// minute when all tests ran at once. Only a test that hangs waits that long.
  package static var patience: Duration { .seconds(600) }
}
