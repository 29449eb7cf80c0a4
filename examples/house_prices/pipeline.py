"""The price of a house: clean → features → split → train → evaluate → register, if it is good enough."""

from datetime import date

import houses
import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor

import clew
from clew.models import by_slice, regression

TARGET = "price_usd"


@clew.step
def clean(sales: pl.DataFrame, lowest_price: int) -> pl.DataFrame:
    """Sales of houses that stood when they were sold, at prices that are no gift."""
    return sales.filter(houses.in_scope() & (pl.col(TARGET) >= lowest_price)).sort("sold_on", "sale_id")


@clew.step
def features(rows: pl.DataFrame) -> pl.DataFrame:
    """What the model may see, and the truth. The county's appraisal is of the price's own kind, so it stays out."""
    return rows.select(*houses.INPUTS, TARGET)


@clew.step
def split(rows: pl.DataFrame, test_months: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """By time: the last months of the last year are the test, as the future will be."""
    last = rows["sold_on"].max()
    assert isinstance(last, date)
    begin = date(last.year, 13 - test_months, 1)
    return rows.filter(pl.col("sold_on") < begin), rows.filter(pl.col("sold_on") >= begin)


@clew.step
def train(rows: pl.DataFrame, learning_rate: float, trees: int, seed: int) -> clew.Model:
    """Gradient-boosted trees on the logarithm of the price."""
    estimator = HistGradientBoostingRegressor(
        learning_rate=learning_rate,
        max_iter=trees,
        max_leaf_nodes=31,
        min_samples_leaf=20,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
        categorical_features=[len(houses.NUMBERS) + 2 + at for at in range(len(houses.CATEGORIES))],
    )
    estimator.fit(houses.matrix(rows), np.log(rows[TARGET].to_numpy()))
    return clew.Model(estimator, example=rows.select(houses.INPUTS), before=houses.matrix, after=houses.dollars)


@clew.step
def evaluate(model: clew.Model, train_rows: pl.DataFrame, test_rows: pl.DataFrame) -> clew.Evaluation:
    """MAE, MAPE and bias; by band of price and decade of building; and those of a baseline to beat."""
    truth = test_rows[TARGET].to_numpy().astype(float)
    predicted = model.predict(test_rows)
    metrics = regression(truth, predicted)
    metrics |= {f"baseline_{name}": value for name, value in regression(truth, baseline(train_rows, test_rows)).items()}
    metrics["bias_share"] = abs(metrics["bias"]) / float(truth.mean())
    bands = [band(price) for price in truth]
    decades = [f"{year // 10 * 10}s" for year in test_rows["year_built"]]
    return clew.Evaluation(
        metrics,
        [*by_slice("price", bands, truth, predicted), *by_slice("built", decades, truth, predicted)],
        {"price": bands, "built": decades},
    )


def baseline(train_rows: pl.DataFrame, test_rows: pl.DataFrame) -> np.ndarray:
    """What one would say without a model: the median price of a square metre, by bedrooms, times the area."""
    by_metre = pl.col(TARGET) / pl.col("living_area_m2")
    known = train_rows.group_by("bedrooms").agg(by_metre.median().alias("usual"))
    overall = train_rows.select(by_metre.median()).item()
    joined = test_rows.join(known, on="bedrooms", how="left", maintain_order="left")
    return (joined["usual"].fill_null(overall) * joined["living_area_m2"]).to_numpy()


def band(price: float) -> str:
    """A band of price, in thousands of dollars."""
    for low, high in ((0, 40), (40, 60), (60, 80), (80, 120), (120, 200)):
        if price < high * 1000:
            return f"{low}–{high}k"
    return "200k and more"


@clew.pipeline(
    accept=[
        clew.better("mae", than="baseline_mae", by=0.15),
        clew.at_most("bias_share", 0.05),
    ]
)
def house_price(
    sales: pl.DataFrame = clew.dataset("house-sales@latest"),
    lowest_price: int = 10_000,
    test_months: int = 6,
    learning_rate: float = 0.08,
    trees: int = 200,
    seed: int = 0,
    register: bool = True,
) -> None:
    """The pipeline; every parameter can be set: clew run pipeline.py --set trees=300 --set register=false."""
    rows = features(clean(sales, lowest_price))
    train_rows, test_rows = split(rows, test_months)
    model = train(train_rows, learning_rate, trees, seed)
    report = evaluate(model, train_rows, test_rows)
    if register:
        clew.register("house-price", model=model, evaluation=report, train=train_rows, test=test_rows, target=TARGET)
