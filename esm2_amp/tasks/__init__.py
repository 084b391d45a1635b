"""One file a task; the only room that sees configuration or prints."""
