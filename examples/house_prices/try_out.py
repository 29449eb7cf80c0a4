"""The same steps without registering anything: for trying parameters out."""

import polars as pl
from pipeline import clean, evaluate, features, split, train

import clew


@clew.pipeline
def try_out(
    sales: pl.DataFrame = clew.dataset("house-sales@latest"),
    lowest_price: int = 10_000,
    test_months: int = 6,
    learning_rate: float = 0.08,
    trees: int = 200,
    seed: int = 0,
) -> None:
    """As `house_price`, up to the evaluation."""
    rows = features(clean(sales, lowest_price))
    train_rows, test_rows = split(rows, test_months)
    evaluate(train(train_rows, learning_rate, trees, seed), train_rows, test_rows)
