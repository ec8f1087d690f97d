"""One training step of any module once more: what the framework did, done again by hand and compared."""
