"""The recommendation model: what it learns, how it is kept, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from system.recommendation import ease, purchases, registry, train
from system.recommendation.model import Model, Query, load
from system.recommendation.registry import CorruptModel, NoModel


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> train.Trained:
    return train.train(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def model(trained: train.Trained) -> Model:
    return load(registry.entry(trained.directory.parent))


@pytest.fixture
def copy(trained: train.Trained, tmp_path: Path) -> Path:
    """A registry of one's own to spoil."""
    files = ("model.onnx", "items.json", "histories.npz")
    content = {name: (trained.directory / name).read_bytes() for name in files}
    registry.save(tmp_path, trained.version, content, metrics={}, lineage={})
    return tmp_path


def test_the_log_is_the_same_for_the_same_seed() -> None:
    first, second, other = purchases.generate(1), purchases.generate(1), purchases.generate(2)
    assert np.array_equal(first.items, second.items)
    assert not np.array_equal(first.items[:1000], other.items[:1000])


def test_nobody_buys_the_same_thing_twice() -> None:
    log = purchases.generate(1)
    assert log.matrix().sum() == len(log.items)


def test_the_last_events_of_each_user_are_held_out() -> None:
    log = purchases.generate(1)
    known, later = log.split(0.2)
    assert len(known.items) + len(later.items) == len(log.items)
    first = log.items[log.users == 0]
    assert [*known.items[known.users == 0], *later.items[later.users == 0]] == list(first)
    assert (np.bincount(later.users) >= 2).all()


def test_ease_never_explains_an_item_by_itself() -> None:
    weights = ease.weights(purchases.generate(1).matrix(), 300)
    assert (np.diag(weights) == 0).all()


def test_recall_counts_held_out_items_among_the_best_unseen() -> None:
    scores = np.array([[9, 3, 2, 1], [1, 2, 3, 4]], np.float32)
    seen = np.array([[1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
    held_out = np.array([[0, 1, 0, 1], [1, 0, 0, 0]], np.float32)
    assert ease.recall(scores, seen, held_out, top=1) == pytest.approx((1 + 0) / 2)
    assert ease.recall(scores, seen, held_out, top=2) == pytest.approx((1 / 2 + 0) / 2)


def test_the_model_beats_popularity_on_held_out_events(trained: train.Trained) -> None:
    assert trained.ratio > 3
    assert 0.3 < trained.model_recall < 0.6


def test_the_version_is_named_by_what_the_model_is_made_of(trained: train.Trained, tmp_path: Path) -> None:
    assert train.train(tmp_path / "same").version == trained.version
    assert train.train(tmp_path / "other", seed=1).version != trained.version


def test_a_model_no_better_than_popularity_is_not_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ease, "weights", lambda matrix, _: np.tile(matrix.sum(axis=0), (matrix.shape[1], 1)))
    assert train.main(["--registry", str(tmp_path)]) == 1
    assert "not registered" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_trainer_prints_both_recalls_and_their_ratio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--registry", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for word in ("model 0.", "popularity 0.", "ratio", "registered"):
        assert word in said


def test_the_manifest_tells_the_lineage(trained: train.Trained) -> None:
    manifest = json.loads((trained.directory / "manifest.json").read_bytes())
    assert manifest["lineage"]["data"]["seed"] == train.SEED
    assert manifest["metrics"]["ratio"] == pytest.approx(trained.ratio)


def test_it_recommends_what_the_user_does_not_have_best_first(model: Model) -> None:
    history = model.history("user-0001")
    assert len(history)
    [best] = model.predict([Query(history, 10)])
    assert len(best) == 10
    assert [item.score for item in best] == sorted((item.score for item in best), reverse=True)
    assert not {item.id for item in best} & {model.item_ids[item] for item in history}
    assert all(item.title for item in best)


def test_a_batch_answers_each_as_alone(model: Model) -> None:
    queries = [Query(model.history(f"user-{number:04}"), number) for number in range(1, 9)]
    assert model.predict(queries) == [model.predict([query])[0] for query in queries]


def test_it_runs_out_of_items_rather_than_recommend_what_is_owned(model: Model) -> None:
    everything_but_two = np.arange(2, len(model.item_ids), dtype=np.int32)
    [best, other] = model.predict([Query(everything_but_two, 10), Query(model.history("user-0001"), 1000)])
    assert {item.id for item in best} == set(model.item_ids[:2])
    assert len(other) == len(model.item_ids) - len(model.history("user-0001"))


def test_likes_that_it_does_not_know_are_left_out(model: Model) -> None:
    liked = model.history("nobody", ["item-gone", "item-003"])
    assert [model.item_ids[item] for item in liked] == ["item-003"]


def test_popular_items_come_by_popularity(model: Model) -> None:
    best = model.popular(5)
    assert [item.score for item in best] == sorted((item.score for item in best), reverse=True)
    assert best[0].score > 0.1


@pytest.mark.parametrize("name", ["model.onnx", "items.json", "histories.npz"])
def test_a_spoiled_file_is_refused_by_name(copy: Path, name: str) -> None:
    path = copy / registry.current(copy) / name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(CorruptModel, match=name):
        load(registry.entry(copy))


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy / registry.current(copy) / "items.json").unlink()
    with pytest.raises(CorruptModel, match=r"items\.json"):
        load(registry.entry(copy))


def test_a_graph_that_is_none_is_refused_though_its_hash_is_right(copy: Path) -> None:
    entry = registry.entry(copy)
    files = {name: entry.read(name) for name in ("items.json", "histories.npz")}
    registry.save(copy, "bad", {**files, "model.onnx": b"no graph"}, metrics={}, lineage={})
    with pytest.raises(CorruptModel, match="INVALID_PROTOBUF"):
        load(registry.entry(copy))


def test_a_model_of_an_older_form_is_none(copy: Path) -> None:
    path = copy / registry.current(copy) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "form": registry.FORM - 1}))
    with pytest.raises(NoModel, match="of another form"):
        registry.entry(copy)
    train.train(copy)
    assert load(registry.entry(copy)).popular(1)


def test_a_graph_that_takes_other_things_is_refused(copy: Path) -> None:
    entry = registry.entry(copy)
    onnx_model = onnx.load_from_string(entry.read("model.onnx"))
    for each in (*onnx_model.graph.input, *onnx_model.graph.node):
        if each.name == "limit":
            each.name = "most"
        if "limit" in getattr(each, "input", ()):
            each.input[1] = "most"
    files = {name: entry.read(name) for name in ("items.json", "histories.npz")}
    registry.save(copy, "bad", {**files, "model.onnx": onnx_model.SerializeToString()}, metrics={}, lineage={})
    with pytest.raises(CorruptModel, match="inputs are not interactions, limit"):
        load(registry.entry(copy))


def test_a_graph_that_scores_other_items_is_refused(copy: Path) -> None:
    entry = registry.entry(copy)
    items = json.loads(entry.read("items.json"))[:-1]
    files = {name: entry.read(name) for name in ("model.onnx", "histories.npz")}
    registry.save(copy, "bad", {**files, "items.json": json.dumps(items).encode()}, metrics={}, lineage={})
    with pytest.raises(CorruptModel):
        load(registry.entry(copy))


def test_a_broken_manifest_is_refused(copy: Path) -> None:
    (copy / registry.current(copy) / "manifest.json").write_text("{")
    with pytest.raises(CorruptModel, match=r"manifest\.json"):
        registry.entry(copy)


def test_an_empty_registry_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(NoModel, match=r"system\.recommendation\.train"):
        registry.entry(tmp_path)


def test_saving_again_mends_what_was_spoiled(copy: Path) -> None:
    entry = registry.entry(copy)
    files = {name: entry.read(name) for name in ("model.onnx", "items.json", "histories.npz")}
    (copy / entry.version / "model.onnx").write_bytes(b"spoiled")
    registry.save(copy, entry.version, files, metrics={}, lineage={})
    load(registry.entry(copy))
    assert not list(copy.glob(".*"))
