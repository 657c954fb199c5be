"""Systems outside that go on with workflows; a module each, imported by who uses it."""
