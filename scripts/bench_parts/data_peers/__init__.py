"""What `scripts/bench data` is made of: the tables, the peers, and one module for each part of the measurement."""
