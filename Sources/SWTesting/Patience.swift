extension Duration {
  /// How long a test waits for what should come: for longer than a busy machine keeps a task from running, which was
  /// more than a minute with every test at once. Only what hangs waits so long.
  package static var patience: Duration { .seconds(600) }
}
