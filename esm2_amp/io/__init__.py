"""User files in and out; every writer is atomic."""
