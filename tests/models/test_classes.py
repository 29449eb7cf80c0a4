"""A model of classes, from registering to the plan that rolls it out."""

import json

import polars as pl
from tests.projects import Project

from clew import models
from clew.rollouts.plan import make

PIPELINE = """
import numpy as np

class Threshold:
    def __init__(self, at):
        self.at = at
    def predict(self, rows):
        return np.where(rows["x"].to_numpy() > self.at, "dear", "cheap")

@clew.step
def train(rows: pl.DataFrame) -> clew.Model:
    return clew.Model(Threshold(float(rows["x"].median())), example=rows.select("x"))

@clew.step
def evaluate(model: clew.Model, rows: pl.DataFrame) -> clew.Evaluation:
    return clew.Evaluation({"wrong": float((model.predict(rows) != rows["kind"].to_numpy()).mean())})

@clew.step
def keep(rows: pl.DataFrame) -> pl.DataFrame:
    return rows

@clew.pipeline(accept=[clew.at_most("wrong", 0.2)])
def kinds(houses: pl.DataFrame = clew.dataset("houses@latest")) -> None:
    rows = keep(houses)
    model = train(rows)
    clew.register("kind", model=model, evaluation=evaluate(model, rows), train=rows, test=rows, target="kind")
"""


def test_a_model_of_classes_is_registered_with_how_often_it_is_wrong(project: Project) -> None:
    kinds = ["dear" if at > 50 or at == 3 else "cheap" for at in range(1, 101)]
    project.workspace.add("houses", pl.DataFrame({"x": [float(at) for at in range(1, 101)], "kind": kinds}))
    project.write(PIPELINE)
    assert project.run().models == ["kind@1"]
    version = models.find(project.workspace, "kind@1")
    profile = json.loads(project.workspace.objects.get(version.artifact("profile").digest))
    assert profile["loss_kind"] == "wrong"
    assert profile["loss"]["mean"] == 0.01
    plan = make(version, profile, {})
    assert (plan.loss, plan.loss_cap, plan.outcome) == ("wrong", 1.0, "kind")
