"""The demo of the main job, on real house sales; `scripts/demo` runs it."""
