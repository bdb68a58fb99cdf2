"""`curate train`, `models`, `embed-cells` and `embed --from` as a user meets them."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Curate = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def root(atlas_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli") / "atlas"
    shutil.copytree(atlas_workspace, root)
    return root


@pytest.fixture
def curate(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Curate:
    """Run the command line in the workspace; return exit status, what it printed, and its errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["curate", "-C", str(root), *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
            sys.exit(0)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_the_whole_way_from_subset_to_vectors(curate: Curate, root: Path, tmp_path: Path) -> None:
    assert curate("build", "--fraction", 0.4, "--strategy", "random")[0] == 0
    arguments = ["train", "pca", "random-0.4-s0", "--preset", "tiny", "--set", "n_dims=6", "--name", "mine"]
    code, out, err = curate(*arguments, "--log-csv", tmp_path / "new" / "log.csv")
    assert code == 0
    assert "in a folder that is made where there is none" in " ".join(curate("train", "--help")[1].split())
    assert "writing the shards of random-0.4-s0@v1" in err
    assert "mine" in out
    assert "6 dimensions" in out
    assert re.search(r"took +[\d,]+ cells in [\d.]+ s", out)
    assert "metric" in pl.read_csv(tmp_path / "new" / "log.csv").columns
    # The same again is found.
    code, out, err = curate(*arguments, "--json")
    report: dict[str, Any] = json.loads(out)
    assert (code, report["is_new"], report["name"]) == (0, False, "mine")
    # Listed, shown, verified.
    listed = json.loads(curate("models", "--json")[1])
    assert [(each["name"], each["n_dims"]) for each in listed] == [("mine", 6)]
    assert "random-0.4-s0@v1" in curate("models")[1]
    assert "Trained on" in curate("models", "show", report["id"][:8])[1]
    assert "6 files are what was written" in curate("models", "verify", "mine")[1]
    (root / "models/mine/notes.txt").touch()
    assert "no part of the model, and not looked at: notes.txt" in curate("models", "verify", "--all")[1]
    # Under another name it is the same, which is said.
    code, _, err = curate(*arguments[:-1], "other")
    assert "this model is there already under the name mine, not other, made" in err
    assert not (root / "models/other").exists()
    # Its vectors: of the corpus, of a split, for a strategy.
    code, out, _ = curate("embed", "--from", "mine", "--json")
    assert (code, json.loads(out)["parameters"]["artifact"]) == (0, report["id"])
    test = tmp_path / "test.npy"
    code, out, _ = curate(
        "embed-cells", "mine", root / "shards/random-0.4-s0/v0001", "--split", "test", "-o", test
    )
    assert code == 0
    assert "300 of the model's 300 genes (100.0%)" in out
    assert np.load(test).shape[1] == 6
    assert curate("build", "--fraction", 0.1, "--strategy", "sketch", "--embedding", "mine")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train pcaa x", "no model named 'pcaa'; did you mean 'pca'?"),
        ("train pca x --set n_dim=3", "model pca has no setting 'n_dim'; did you mean 'n_dims'?"),
        ("train pca x --set n_dims=0", "setting n_dims of model pca"),
        ("train pca x --set n_dims", "'n_dims' is not KEY=VALUE"),
        ("train pca x --set seed=1 --set seed=2", "seed is given twice"),
        ("train pca x --max-steps 3", "--max-steps goes with models that take steps"),
        ("train masked x --batch-size 9 --set batch_size=8", "say the same; give one"),
        ("train pca x --accelerator gpu", "pca is found on the processor; leave --accelerator gpu out"),
        (
            "train pca x --take-checkpoint",
            "--take-checkpoint goes with models that take steps; pca takes none",
        ),
        ("train masked x --take-checkpoint --untrained", "--untrained takes no step"),
        ("train masked x --seed -1", "-1 is not in the range 0 to 2**63 - 1"),
        ("train masked x --seed 99999999999999999999", "is not in the range 0 to 2**63 - 1"),
        ("materialize x --seed -1", "-1 is not in the range 0 to 2**63 - 1"),
        ("evaluate classify x --data d.h5ad --seed 0,9223372036854775808", "is not in the range 0 to"),
        ("build --fraction 0.1 --strategy random --seed -1", "-1 is not in the range 0 to 2**63 - 1"),
        (
            "train masked x --max-steps 5 --untrained",
            "--max-steps goes with a training; --untrained takes no",
        ),
        ("train masked x --weighted --untrained", "--weighted goes with a training; --untrained takes no"),
        ("train masked x --set mask=programme", "settings of model masked: masks of gene programmes without"),
        (
            "train geneformer x --set n_heads=7",
            "setting n_heads of model geneformer: 256 dimensions cannot be shared among 7 heads",
        ),
        ("models verify", "name models, or give --all"),
        ("models verify a --all", "name models, or give --all"),
        ("train pca x --preset huge", "'huge' is not one of"),
        ("embed-cells m data.h5ad -o out.csv", "ends in none of .h5ad, .parquet, .npy"),
        ("embed --from census:scvi --accelerator cpu", "--accelerator goes with --from and a trained model"),
        ("embed --from mine --n-hvgs 10", "--n-hvgs goes with a PCA that is computed"),
    ],
)
def test_wrong_usage_is_said_and_ends_with_2(curate: Curate, arguments: str, message: str) -> None:
    code, _, err = curate(*arguments.split())
    assert code == 2
    assert message in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train pca nothing", "no manifest named 'nothing'"),
        ("models show nothing", "no trained model named 'nothing'"),
        ("embed --from nothing", "no trained model named 'nothing'"),
        ("embed-cells ./nothing data.h5ad -o out.npy", "nothing holds no trained model"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(curate: Curate, arguments: str, message: str) -> None:
    code, _, err = curate(*arguments.split())
    assert code == 1
    assert err.count("\n") == 1
    assert message in err


def test_the_models_are_listed_with_their_sizes(curate: Curate) -> None:
    code, out, _ = curate("train", "--list")
    assert code == 0
    for name in ("hvg", "pca", "scvi", "masked", "geneformer", "contrastive"):
        assert name in out
    assert "doi" in out


def test_a_training_is_estimated_from_the_last_one(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from curate.cli.train_estimate import estimate
    from curate.rates import keep_rate
    from curate.train.fit.plan import Budget, FitPlan
    from curate.train.models import MODELS

    class Cells:
        def n_cells(self, split: str) -> int:
            return {"train": 6000, "val": 500}[split]

    kind = MODELS["masked"]
    plan = FitPlan(root, budget=Budget(max_cells=60_000))
    keep_rate(root, "train masked tiny", 1000, 2.0, unit="cells")
    estimate(kind, "tiny", kind.presets["tiny"], plan, Cells(), root=root)  # type: ignore[arg-type]
    assert "6,000 cells, 500 for validation; at most about 2 min at 500 cells/s" in capsys.readouterr().err
    # A batch holds no more cells than there are, and minutes end a training too.
    settings = kind.presets["tiny"].model_copy(update={"batch_size": 100_000})
    estimate(kind, "tiny", settings, FitPlan(root, budget=Budget(max_steps=5)), Cells(), root=root)  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert "in batches of 6,000: there are no 100,000 for a batch; at most about 60 s at 500 cells/s" in said
    budget = Budget(max_steps=5, max_minutes=0.5)
    estimate(kind, "tiny", settings, FitPlan(root, budget=budget), Cells(), root=root)  # type: ignore[arg-type]
    assert "at most about 30 s" in capsys.readouterr().err


def test_a_training_that_diverged_is_listed_and_becomes_a_model(curate: Curate, root: Path) -> None:
    if not (root / "manifests/random-0.4-s0").exists():
        assert curate("build", "--fraction", 0.4, "--strategy", "random")[0] == 0
    arguments = ["train", "masked", "random-0.4-s0", "--preset", "tiny", "--accelerator", "cpu"]
    arguments += [
        "--set",
        "learning_rate=1e9",
        "--set",
        "clip_norm=none",
        "--max-steps",
        "50",
        "--name",
        "wild",
    ]
    code, _, err = curate(*arguments)
    assert code == 1
    assert "no checkpoint had been written: nothing is kept but the log" in err
    _, _, listed = curate("models")
    assert "broke off: wild: training diverged at step 2" in listed
    assert "no checkpoint had been written; to be rid of it remove" in listed
    code, _, err = curate(*arguments, "--checkpoint-steps", 1)
    assert code == 1
    assert "the checkpoint of step 1 is kept in" in err
    assert "--take-checkpoint makes a model of its checkpoint of step 1;" in curate("models")[2]
    code, out, _ = curate(*arguments, "--checkpoint-steps", 1, "--take-checkpoint")
    assert code == 0
    assert "nothing: it was broken off, and its last checkpoint taken" in out
    assert "broke off" not in curate("models")[2]


def test_all_models_are_verified_though_one_fails(curate: Curate, root: Path) -> None:
    if not (root / "manifests/random-0.4-s0").exists():
        assert curate("build", "--fraction", 0.4, "--strategy", "random")[0] == 0
    for name, n_dims in (("good", 4), ("spoilt", 5)):
        arguments = ["--preset", "tiny", "--set", f"n_dims={n_dims}", "--name", name]
        assert curate("train", "pca", "random-0.4-s0", *arguments)[0] == 0
    config = root / "models/spoilt/config.json"
    config.write_text(config.read_text().replace("10.0", "9.0"))
    code, out, err = curate("models", "verify", "--all")
    assert code == 1
    assert f"{root}/models/good: 6 files are what was written" in out
    assert f"{root}/models/spoilt: failed:" in out
    assert re.search(r"1 of \d models failed; .*config.json .* has changed since it was written", err)
    code, _, err = curate("embed-cells", "spoilt", root / "shards/random-0.4-s0/v0001", "-o", "out.npy")
    assert code == 1
    assert "config.json" in err
    shutil.rmtree(root / "models/spoilt")


def test_a_tensorboard_that_is_not_installed_is_said_before_anything_is_read(
    curate: Curate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboard" else real(name)
    )
    code, _, err = curate("train", "masked", "nothing", "--tensorboard", tmp_path / "events")
    assert code == 1
    assert "TensorBoard is not installed: pip install tensorboard" in err


def test_a_folder_that_tensorboard_cannot_write_is_refused_before_anything_is_read(
    curate: Curate, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "file").touch()
    code, _, err = curate("train", "masked", "nothing", "--tensorboard", tmp_path / "file" / "events")
    assert code == 1
    assert f"TensorBoard's events cannot be written to {tmp_path}/file/events: Not a directory" in err


def test_a_list_tells_models_apart_and_marks_the_damaged(curate: Curate, root: Path) -> None:
    if not (root / "manifests/random-0.4-s0").exists():
        assert curate("build", "--fraction", 0.4, "--strategy", "random")[0] == 0
    arguments = ["train", "pca", "random-0.4-s0", "--preset", "tiny", "--set", "n_dims=3", "--seed", 4]
    assert curate(*arguments, "--max-cells", 1000, "--name", "told")[0] == 0
    [row] = [each for each in json.loads(curate("models", "--json")[1]) if each["name"] == "told"]
    assert (row["how"], row["is_damaged"]) == ("seed 4, n_dims=3, 1,000 cells", False)
    path = root / "models/told/README.md"
    path.write_text(path.read_text().replace("1,000", "1,001"))
    code, out, err = curate("models", "show", "told")
    assert (code, out) == (1, "")
    assert "told/README.md" in err
    assert "has changed since it was written" in err
    path.write_text("cut short")
    out = curate("models")[1]
    assert "damaged: see below" in out
    assert re.search(r"told/README.md has 9 bytes, not [\d,]+; copy it again .* or remove the folder", out)
    shutil.rmtree(root / "models/told")
