"""The sections of `scripts/bench return`: each has `options(parser)`, `measure(given)` and `markdown(found)`."""
