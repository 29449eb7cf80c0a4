"""What clew's builds cost, beside those of DVC, Hamilton, Kedro, Metaflow, joblib and redun."""
