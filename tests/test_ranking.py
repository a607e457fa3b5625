"""`rank`: backbones ordered by the accuracy of a linear head, beside scores, size and time."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

import app
from app.cli import main
from app.config import RunConfig
from app.job.splits import choose_splits
from app.ranking.scores import SCORES, Transfer, h_score, leep, log_me
from data.sources import open_source
from models.backbones import BACKBONES
from models.backbones.spec import BackboneSpec
from tests.images import write_folder

STARTS = ([0.0, 0.0], [2.0, 2.0], [-2.0, 3.0])  # of the search for the greatest evidence


# --- Scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "width"), [(30, 5), (12, 20)])
def test_log_me_is_the_greatest_evidence_of_a_gaussian_model(count: int, width: int) -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(count, width))
    labels = (features @ random.normal(size=width) > 0).astype(int)

    def negative_evidence(logs: np.ndarray, target: np.ndarray) -> float:
        covariance = features @ features.T * np.exp(-logs[0]) + np.eye(count) * np.exp(-logs[1])
        return -float(multivariate_normal.logpdf(target, np.zeros(count), covariance))

    exactly = {"xatol": 1e-6, "fatol": 1e-8, "maxiter": 4000}
    greatest = [
        -min(
            minimize(negative_evidence, start, (labels == one,), "Nelder-Mead", options=exactly).fun for start in STARTS
        )
        for one in (0, 1)
    ]
    assert log_me(Transfer(features, labels)) == pytest.approx(np.mean(greatest) / count, abs=1e-4)


def test_h_score_of_many_images_is_the_ratio_of_variances() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    noise = random.normal(size=(4000, 3))
    for one in (0, 1):  # exactly: mean 0 and variance 1 in each class
        noise[labels == one] -= noise[labels == one].mean(axis=0)
        noise[labels == one] /= noise[labels == one].std(axis=0)
    features = noise + np.array([2.0, 0.0, 0.0]) * labels[:, None]
    assert h_score(Transfer(features, labels)) == pytest.approx(1 / (1 + 1), abs=0.002)  # 1 between, 1 within classes


def test_constant_features_score_lowest() -> None:
    labels = np.arange(20) % 2
    constant, telling = (Transfer(features, labels) for features in (np.zeros((20, 3)), np.eye(3)[labels]))
    assert np.isfinite([h_score(constant), log_me(constant)]).all()
    assert h_score(constant) < h_score(telling) and log_me(constant) < log_me(telling)


def test_leep_of_predictions_that_fix_the_label_is_zero() -> None:
    source = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    labels = np.array([0, 1, 1, 0, 1, 1])
    assert leep(Transfer(source, labels, source)) == pytest.approx(0)
    uninformative = np.full((6, 3), 1 / 3)
    entropy = -(np.log(1 / 3) / 3 + 2 * np.log(2 / 3) / 3)
    assert leep(Transfer(source, labels, uninformative)) == pytest.approx(-entropy)


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_higher_where_features_tell_classes_apart(name: str) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    noise = random.normal(size=(90, 8))
    telling = noise + 4 * np.eye(8)[labels]

    def score(features: np.ndarray) -> float:
        source = np.exp(features) / np.exp(features).sum(axis=1, keepdims=True)
        found = SCORES[name].compute(Transfer(features, labels, source))
        assert found is not None
        return found

    assert score(telling) > score(noise)


# --- The verb ---------------------------------------------------------------------------------------------------------


def build_blind(image_size: int, weights: str | None) -> keras.Model:
    """A backbone to which all images look the same."""
    pixels = keras.Input((image_size, image_size, 3))
    dark = keras.layers.Rescaling(0.0)(pixels)
    return keras.Model(
        pixels, keras.layers.Conv2D(8, 3, 4, bias_initializer="ones", name="block1")(dark), name="backbone"
    )


BLIND = BackboneSpec(
    name="blind", builder=build_blind, image_size=32, min_image_size=8, feature_width=8, parameters=224, scaling="tf"
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("ranking") / "colours", examples=20)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranking") / "output"


@pytest.fixture(scope="module")
def ranking(images: Path, output: Path, tiny_backbone: str) -> app.Ranking:
    """A network that sees, one that does not, and one whose weights are missing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "blind", BLIND)
        missing = output.parent / "gone.weights.h5"
        missing.touch()
        names = ["blind=none", f"{tiny_backbone}=none", f"mobilenet_v3_small={missing}"]
        return app.rank(images, backbones=names, output=output, engine="tensorflow")


def test_the_network_that_sees_is_best_and_the_other_is_beyond_chance(ranking: app.Ranking) -> None:
    best, blind = ranking.ranked
    assert (str(best.candidate), str(blind.candidate)) == ("tiny=none", "blind=none")
    assert best.score > 0.9 and blind.score < 0.5
    assert ranking.best is best and ranking.as_good == ()
    drop, (low, high) = ranking.drops[1]
    assert 0 < low < drop < high


def test_each_candidate_has_size_time_and_scores(ranking: app.Ranking) -> None:
    for one in ranking.ranked:
        assert one.footprint is not None and one.footprint.size_mb > 0 and one.footprint.median_ms > 0
        assert one.scores["leep"] is None and one.scores["h_score"] is not None and one.scores["log_me"] is not None


def test_weights_that_cannot_be_had_are_named(ranking: app.Ranking) -> None:
    ((candidate, reason),) = ranking.missing
    assert str(candidate).endswith("gone.weights.h5") and reason
    assert any(reason in sentence for sentence in ranking.sentences())


def test_the_test_split_is_left_out(ranking: app.Ranking, images: Path) -> None:
    examples = open_source(str(images))
    _, splits = choose_splits(examples, RunConfig(source=str(images), task=examples.task))
    tested = {key for key, split in zip(examples.keys, splits, strict=True) if split == "test"}
    assert len(tested) == 9 and len(ranking.examples) == 51 and not tested & set(ranking.examples.keys)


def test_files_and_notebooks_say_the_same(ranking: app.Ranking, output: Path) -> None:
    written = json.loads((output / "ranking.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(ranking.as_json()))
    assert written["best"] == "tiny=none" and [one["backbone"] for one in written["ranked"]] == ["tiny", "blind"]
    assert (output / "ranking.png").read_bytes().startswith(b"\x89PNG")
    assert "tiny=none" in ranking._repr_html_() and "<table" in ranking._repr_html_()


def test_the_budget_decides_what_is_recommended(
    images: Path, tiny_backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "rank",
        str(images),
        "--backbones",
        f"{tiny_backbone}=none",
        "--engine",
        "tensorflow",
        "--max-size",
        "1e-6",
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "No backbone keeps to the budget" in said and "Train with" not in said


def test_what_is_left_out_is_said_whatever_keeps_to_the_budget(ranking: app.Ranking) -> None:
    over = replace(ranking, within=(False,) * len(ranking.ranked))
    assert over.best is None
    assert over.sentences()[1:] == [f"Left out: {one.candidate}: {one.reason}" for one in ranking.missing]


def test_the_sample_is_stratified(images: Path, tiny_backbone: str) -> None:
    found = app.rank(images, backbones=[f"{tiny_backbone}=none"], sample=30, engine="tensorflow", verbose=0)
    assert found.examples.labels.counts().tolist() == [10, 10, 10]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backbones": ["mobilnet_v2"]}, "unknown backbone 'mobilnet_v2'"),
        ({"backbones": ["mobilenet_v2=no.h5"]}, "there are no weights 'no.h5' for mobilenet_v2"),
        ({"max_latency": 0}, "--max-latency must be above 0"),
        ({"sample": -1}, "--sample must be above 0"),
        ({"backbones": ["mobilenet_v3_small=none"], "sample": 4, "image_size": 32}, "4 images are too few to rank on"),
    ],
)
def test_what_does_not_fit_is_one_sentence(options: dict[str, object], sentence: str, images: Path) -> None:
    with pytest.raises((app.UsageError, app.ModelError), match=re.escape(sentence)):
        app.rank(images, **options)
