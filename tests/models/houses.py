"""Made-up house sales, and a pipeline over them whose model is plain least squares: quick, and the same every time."""

from datetime import date, timedelta

import numpy as np
import polars as pl

HELPERS = """
import numpy as np
import polars as pl

INPUTS = ["sold_on", "rooms", "area", "district"]
DISTRICTS = ["east", "north", "south", "west"]

def matrix(rows):
    district = rows["district"].to_numpy()
    columns = [np.ones(rows.height), rows["rooms"].to_numpy(), rows["area"].to_numpy()]
    columns += [(district == name).astype(float) for name in DISTRICTS[1:]]
    return np.column_stack(columns).astype(float)

def usable(rows):
    return rows.filter(pl.col("price") > 0)
"""
PIPELINE = """
import numpy as np
import houses

class Line:
    def __init__(self, weights):
        self.weights = weights
    def predict(self, matrix):
        return matrix @ self.weights

@clew.step
def clean(sales: pl.DataFrame) -> pl.DataFrame:
    return houses.usable(sales).select(*houses.INPUTS, "price")

@clew.step
def split(rows: pl.DataFrame, test_share: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    test = (rows["sold_on"].dt.ordinal_day() % 7 == 0)
    return rows.filter(~test), rows.filter(test)

@clew.step
def train(rows: pl.DataFrame, ridge: float, seed: int) -> clew.Model:
    x, y = houses.matrix(rows), rows["price"].to_numpy()
    kept = np.random.default_rng(seed).random(len(y)) < 0.9
    x, y = x[kept], y[kept]
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    return clew.Model(Line(weights), example=rows.select(houses.INPUTS), before=houses.matrix)

@clew.step
def evaluate(model: clew.Model, rows: pl.DataFrame) -> clew.Evaluation:
    return clew.Evaluation({"mae": float(abs(model.predict(rows) - rows["price"].to_numpy()).mean())})

@clew.pipeline(accept=[clew.at_most("mae", 1e9)])
def price(
    sales: pl.DataFrame = clew.dataset("sales@latest"), test_share: float = 0.2, ridge: float = 1e-6, seed: int = 0
) -> None:
    rows = clean(sales)
    train_rows, test_rows = split(rows, test_share)
    model = train(train_rows, ridge, seed)
    clew.register(
        "price", model=model, evaluation=evaluate(model, test_rows), train=train_rows, test=test_rows, target="price"
    )
"""


def sales(count: int = 1500, seed: int = 1) -> pl.DataFrame:
    """Sales of one year, each with an id, in the order of the days."""
    rng = np.random.default_rng(seed)
    rooms = rng.integers(1, 8, count)
    area = 25.0 * rooms + rng.normal(0, 12, count).round(1) + 20
    district = rng.choice(["east", "north", "south", "west"], count)
    level = np.select([district == "north", district == "west"], [60_000, 25_000], 0)
    price = 30_000 + 9_000 * rooms + 1_200 * area + level + rng.normal(0, 15_000, count)
    days = np.sort(rng.integers(0, 365, count))
    return pl.DataFrame(
        {
            "id": np.arange(count),
            "sold_on": [date(1995, 1, 1) + timedelta(days=int(day)) for day in days],
            "rooms": rooms,
            "area": area,
            "district": district,
            "price": price.round(-2),
        }
    )
