"""What a training leaves for people to read: its page, its curve, its sentences, the history of all runs."""

from __future__ import annotations

import io
import json
import multiprocessing
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lorasmith.cli.render import Watch
from lorasmith.cli.render_train import clause, plan_table, train_summary
from lorasmith.core.events import Decision, Metric, Writer
from lorasmith.core.facts import DataFacts, ModelFacts
from lorasmith.plan.choose import TrainPlan
from lorasmith.plan.hardware import HardwareFacts
from lorasmith.training import report as reports
from lorasmith.training.answers import marked
from lorasmith.training.autolearn import Evaluation
from lorasmith.training.charts import Chart, Line, round_values
from lorasmith.training.curve import Curve, read_curve
from lorasmith.training.launch import TrainResult
from lorasmith.training.page import Made, page
from lorasmith.training.report import DecisionMade, FinalMetrics, LoraFacts, TrainReport
from lorasmith.training.spec import TrainSpec, WorkerSpec
from lorasmith.training.verdict import command_again, command_to_use, verdict

EVIL = "<script>alert('x')</script>"
PLAN = TrainPlan(
    target_modules="all-linear", rank=16, alpha=32.0, use_rslora=False, dropout=0.05, learning_rate=0.003, micro_batch=8,
    accumulation=2, steps=100, epochs=5.0, max_length=192, packing=True, precision="float32", warmup_steps=5, schedule="linear",
    evaluations=10, eval_every=10, eval_rows=20, device="cpu", predicted_peak_bytes=700_000_000,
    reasons={"rank": "272 rows: fewer than 500", "packing": "rows are joined without padding; none sees another"},
)  # fmt: skip
FACTS = DataFacts(
    format="alpaca", objective="sft", num_rows=300, num_train=272, num_validation=28, num_bad_rows=2, num_tokens=48_660,
    num_supervised_tokens=22_251, length_p50=162, length_p995=186, length_max=188, max_answer_tokens=90, threshold=1,
    sha256="3d25f8a9fa63755c0123456789abcdef",
)  # fmt: skip
MADE = Made(
    HardwareFacts(cpu="A CPU", num_cores=2, ram_bytes=16 * 10**9, ram_free_bytes=8 * 10**9, cpu_has_bf16=False),
    {"lorasmith": "0.1", "torch": "2.9"},
)
HISTORY = [
    Evaluation(number=n, step=10 * n, train_loss=3 / n, val_loss=2.5 / n, token_accuracy=0.9, exact_match=0.1 * n)
    for n in range(1, 5)
]
COMPARISON = {
    "base": {"val_loss": 2.876, "token_accuracy": 0.7, "exact_match": 0.0},
    "tuned": {"val_loss": 0.625, "token_accuracy": 0.9, "exact_match": 0.4}, "rows": 20,
}  # fmt: skip


def spec_of(**asked: Any) -> WorkerSpec:
    plan = asked.pop("plan", PLAN)
    return WorkerSpec(
        spec=TrainSpec(**({"model": "demo", "data": "/data/invoices.jsonl"} | asked)), plan=plan, model_id="demo",
        model_revision="abc123", model_folder=Path("/models/demo"), family="language", template="", data_facts={},
        run_folder=Path("/runs/one"),
    )  # fmt: skip


def report_of(**changes: Any) -> TrainReport:
    values: dict[str, Any] = {
        "model_id": "demo", "training_completed": "2026-11-22T16:32:48+0000", "duration_hours": 0.025,
        "final_metrics": FinalMetrics(train_loss=0.75, val_loss=0.625, best_val_loss=0.625, best_epoch=2.0),
        "stop_reason": "completed", "lora_config": LoraFacts(r=16, alpha=32, target_modules="all-linear"),
        "dataset_info": {"format": "alpaca", "train_examples": 272, "val_examples": 28}, "steps": 40, "planned_steps": 100,
        "train_seconds": 70.0, "course_seconds": 88.0, "predicted_seconds": 200.0, "tokens_per_second": 1442.0,
        "supervised_tokens_per_second": 659.0, "predicted_peak_bytes": 700_000_000, "peak_memory_bytes": 770_000_000,
        "method": "lora", "variant": "lora", "comparison": COMPARISON, "evaluations": HISTORY,
        "decisions": [DecisionMade(step=one.step, name="continue", reason="continue") for one in HISTORY],
        "samples": [{"prompt": "2 and 2?", "wanted": "It is 4.", "before": "It is 5.", "after": "It is 4."}],
        "curve": Curve(
            steps=[*range(1, 41)], train_loss=[3 / step for step in range(1, 41)], learning_rate=[1e-3] * 40,
            gradient_norm=[1.0] * 40,
        ),
    }  # fmt: skip
    return TrainReport(**(values | changes))


class Tags(HTMLParser):
    """Every element of a page with its attributes, and whether each is closed as it was opened."""

    VOID = frozenset({"meta", "circle", "line", "br"})

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


RUNS = {
    "usual": {},
    "no row held out": {"comparison": None, "evaluations": [], "decisions": [], "samples": []},
    "one evaluation": {"evaluations": HISTORY[:1]},
    "one step": {"evaluations": HISTORY[:1], "curve": Curve(steps=[1], train_loss=[3.0], learning_rate=[0.0], gradient_norm=[1.0])},
    "diverged at once": {
        "stop_reason": "diverged", "evaluations": [], "curve": Curve(), "steps": 0, "course_seconds": 0.0, "comparison": None,
        "decisions": [DecisionMade(step=3, name="turned_back", reason="the loss is no finite number: back to the start")],
    },
    "all weights": {"method": "full", "lora_config": LoraFacts(r=0, alpha=0, target_modules="all weights")},
    "preferences": {
        "objective": "dpo",
        "comparison": {"base": {"preferred": 0.4}, "tuned": {"val_loss": 0.5, "exact_match": 0.8, "preferred": 0.7}, "rows": 9},
    },
    "texts": {"objective": "pretrain"},
    "norms that are no numbers": {
        "curve": Curve(steps=[1, 2, 3], train_loss=[3, 2, 1], learning_rate=[0, 0, 0], gradient_norm=[None, None, 1.0])
    },
    "energy": {"energy_joules": 7200.0, "energy_of": "CPU"},
}  # fmt: skip


@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_every_kind_of_run_has_a_whole_page_that_fetches_nothing(changes):
    """TRN-7, SEC-6"""
    text = page(spec_of(), FACTS, report_of(**changes), MADE)
    tags = Tags(text)
    assert tags.open == []
    names = {name for name, _ in tags.found}
    assert not names & {"script", "img", "link", "iframe", "object", "a"}
    assert not [
        name for _, attributes in tags.found for name in attributes if name in {"src", "href"} or name.startswith("on")
    ]
    assert "default-src 'none'" in text
    assert "nan" not in text.replace("finance", "")


def test_nothing_that_was_read_or_answered_becomes_code():
    """SEC-6: scripts in a prompt, an answer, a file's name, a reason, a version."""
    sample = dict.fromkeys(("prompt", "wanted", "before", "after"), EVIL)
    report = report_of(
        samples=[sample, sample | {"after": f"{EVIL} more", "wanted": f"some {EVIL}"}],
        decisions=[DecisionMade(step=1, name="turned_back", reason=EVIL), DecisionMade(step=10, name="continue", reason=EVIL)],
        energy_joules=1.0, energy_of=EVIL, variant=EVIL,
    )  # fmt: skip
    plan = PLAN.model_copy(update={"reasons": {"rank": EVIL, "target_modules": EVIL}, "target_modules": [EVIL]})
    spec = spec_of(data=f"/data/{EVIL}.jsonl", model=EVIL, template=EVIL, plan=plan).model_copy(
        update={"model_id": EVIL, "model_revision": EVIL, "run_folder": Path(f"/runs/{EVIL}")}
    )
    made = Made(MADE.machine.model_copy(update={"cpu": EVIL}), {"torch": EVIL})
    text = page(spec, FACTS.model_copy(update={"format": EVIL}), report, made)
    tags = Tags(text)
    assert "script" not in {name for name, _ in tags.found}
    assert tags.open == []
    assert text.count("&lt;") > 15


def test_the_page_says_what_was_measured_and_how_to_do_it_again():
    """TRN-7: memory and time beside what was predicted of them, data, base, seed, versions, commands."""
    text = page(
        spec_of(seed=7, lora_r=32), FACTS, report_of(energy_joules=7200.0, energy_of="CPU", answers_cut=3), MADE
    )
    said = re.sub(r"<[^>]+>", " ", text).replace("\u00a0", " ").replace("&#x27;", "'")
    for wanted in (
        "the loss fell from 2.876 to 0.625, exact answers went from 0 % to 40 %", "700 MB", "770 MB", "+10 %",
        "1 min 20 s", "1 min 28 s", "2 Wh", "272 to learn from, 28 held out, 2 left out as unusable",
        "3 answers lost their end at 192 tokens", "3d25f8a9fa63755c…", "272 rows: fewer than 500", "demo, revision abc123",
        "torch 2.9", "A CPU", "lorasmith chat demo --adapter /runs/one", "best, kept",
        "lorasmith train demo --data /data/invoices.jsonl --lora-r 32 --seed 7", "1 of these 1 are as wanted",
    ):  # fmt: skip
        assert wanted in said, wanted
    assert "0123456789abcdef" not in text


def test_changes_of_course_stand_in_order_among_the_evaluations():
    """TRN-4, AUT-2: and as flags in the chart."""
    decisions = [
        DecisionMade(step=0, name="unpacked", reason="rows are padded"), *report_of().decisions[:2],
        DecisionMade(step=25, name="turned_back", reason="the loss rose"), *report_of().decisions[2:],
    ]  # fmt: skip
    text = page(spec_of(), FACTS, report_of(decisions=decisions), MADE)
    body = text[text.index("<tbody>") :]
    places = [body.index(f'<td class="n">{step}</td>') for step in (0, 10, 20, 25, 30, 40)]
    assert places == sorted(places)
    assert text.count('class="flag"') == 2


def test_answers_show_what_equals_the_wanted_one():
    """TRN-7"""
    assert marked("It is 5.", "It is 4.") == "<ins>It is </ins><mark>5</mark><ins>.</ins>"
    assert marked("It is 4.", "It is 4.") == "<ins>It is 4.</ins>"
    assert marked("It is.", "It is <4>.") == '<ins>It is</ins><del title="missing:  &lt;4&gt;">‸</del><ins>.</ins>'


def test_a_point_far_out_does_not_flatten_the_rest():
    """TRN-7: nor does a usual start count as one."""
    calm = [(step, 1.0) for step in range(40)]
    assert ">1.6</text>" in Chart([Line([*calm, (40, 900.0)], "red")], "loss").svg()
    assert ">900</text>" not in Chart([Line([*calm, (40, 900.0)], "red")], "loss").svg()
    falling = [(0, 77.0), *((step, 0.1) for step in range(1, 40))]
    assert ">80</text>" in Chart([Line(falling, "red")], "loss").svg()


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0, 3, [0, 1, 2, 3]), (0.21, 0.29, [0.2, 0.22, 0.24, 0.26, 0.28, 0.3]), (5, 5, [4, 6]), (0, 0, [0, 0.25])],
)
def test_axes_have_round_numbers_that_reach_all_points(low, high, wanted):
    ticks = round_values(low, high, 4)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert ticks[: len(wanted)] == pytest.approx(wanted)


def told(path: Path, steps: list[tuple[int, float]]) -> None:
    with Writer(path) as events:
        for step, loss in steps:
            events.send(Metric(step=step, values={"loss/train": loss, "learning_rate": 0.1, "gradient_norm": loss}))
            events.send(Metric(step=step, values={"loss/validation": 9.0}))


def test_the_curve_has_the_losses_of_the_way_that_led_to_the_result(tmp_path):
    """TRN-7: not those of steps that the run turned back behind, or that it did once more after it was killed."""
    told(tmp_path / "events.jsonl", [(1, 3.0), (2, 2.0), (3, 50.0), (2, 2.5), (3, 1.5), (4, 1.0), (5, 77.0)])
    curve = read_curve(tmp_path / "events.jsonl", 4)
    assert curve.steps == [1, 2, 3, 4]
    assert curve.train_loss == [3.0, 2.5, 1.5, 1.0]


def test_a_long_curve_is_thinned_to_means_and_largest_norms(tmp_path):
    """TRN-7: at most 300 points; a line without its end is left out."""
    path = tmp_path / "events.jsonl"
    told(path, [(step, float(step % 2)) for step in range(1, 1001)])
    with path.open("ab") as file:
        file.write(b'{"type":"metric","step":1001,"values":{"loss/train":')
    curve = read_curve(path, 1000)
    assert len(curve.steps) == len(curve.train_loss) == len(curve.learning_rate) == len(curve.gradient_norm) == 300
    assert curve.steps[-1] == 1000
    assert max(curve.train_loss) < 1
    assert set(curve.gradient_norm) == {1.0}
    assert read_curve(tmp_path / "nothing.jsonl", 5) == Curve()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "On 20 held-out rows the loss fell from 2.876 to 0.625"),
        ({"comparison": None}, "No row was held out"),
        ({"comparison": COMPARISON | {"tuned": COMPARISON["base"]}}, "no better than the base: on 20 held-out rows the loss hardly"),
        ({"stop_reason": "diverged"}, "its last good state. On 20 held-out rows the loss fell"),
    ],
)  # fmt: skip
def test_the_verdict_is_by_rows_that_were_not_learnt(changes, said):
    """TRN-7"""
    assert said in verdict(report_of(**changes))


def test_commands_are_whole_and_quoted():
    """TRN-7: to train the same, into a folder that is free; to use what came out."""
    asked = TrainSpec(
        model="a b",
        data="x'y.jsonl",
        output="out",
        tensorboard_port=1,
        learning_rate=0.00012345678,
        no_packing=True,
        method="full",
    )
    assert command_again(asked) == (
        "lorasmith train 'a b' --data 'x'\"'\"'y.jsonl' --method full --learning-rate 0.00012345678 --no-packing"
    )
    assert command_to_use("demo", report_of(method="full"), "/runs/a b") == "lorasmith chat '/runs/a b/model'"
    assert command_to_use("demo", report_of(method="qlora"), "/runs/one") == "lorasmith chat demo --adapter /runs/one"
    pages = report_of(method="lora", lesson="donut")
    assert command_to_use("donut", pages, "/runs/one") == "lorasmith serve donut --adapter /runs/one"


def terminal(width: int = 80) -> Console:
    return Console(width=width, record=True, highlight=False, file=io.StringIO())


def test_the_plan_fits_eighty_columns_with_one_line_a_parameter(tmp_path):
    """AUT-1: reasons are cut where a clause ends; markup in a name is shown, not obeyed."""
    facts = ModelFacts(
        id="acme/[bold]tiny", family="language", model_type="llama", architecture="X", hidden_size=64, vocab_size=9,
        max_positions=99, num_parameters=1_070_000, weight_bytes=1, linear_shapes=[], stored_dtype="float32",
    )  # fmt: skip
    reason = "this processor has no native bfloat16 at all; weights of 16 bit are computed in fp32"
    plan = PLAN.model_copy(update={"reasons": PLAN.reasons | {"precision": reason}})
    out = terminal()
    plan_table(out, facts, FACTS, plan, tmp_path / "out")
    said = out.export_text()
    assert "acme/[bold]tiny  llama, 1.07M parameters · CPU" in said
    assert re.search(r"packing +yes +rows are joined without padding; none sees another *\n", said)
    assert re.search(r"precision +float32 +this processor has no native bfloat16 at all … *\n", said)
    assert "700 MB" in said
    out = terminal(160)
    plan_table(out, facts, FACTS, plan, tmp_path / "out")
    assert reason in out.export_text()
    assert clause("one long word-without-an-end", 10) == "one long word-without-an-end"


@pytest.mark.parametrize(("method", "name", "folder"), [("lora", "adapter", "lora"), ("full", "model", "model")])
def test_the_summary_names_what_is_there_and_what_was_foretold(tmp_path, method, name, folder):
    """TRN-7"""
    (tmp_path / "spec.json").write_text(json.dumps({"spec": {"model": "/models/my demo"}}))
    out = terminal(200)
    train_summary(out, TrainResult(tmp_path, report_of(method=method, energy_joules=7200.0, energy_of="CPU")))
    said = out.export_text().replace("\u00a0", " ")
    use = f"{tmp_path}/model" if method == "full" else f"'/models/my demo' --adapter {tmp_path}"
    for line in (
        "It ran to its planned end. 40 steps in 1 min 30 s, 659 tokens/s learnt.", "memory   770 MB at most, 700 MB planned (+10 %)",
        "time     1 min 28 s of training, 1 min 20 s foretold (+10 %)", "energy   2 Wh of the CPU",
        f"{name:<9}{tmp_path / folder}", f"try it   lorasmith chat {use}",
    ):  # fmt: skip
        assert line in said.splitlines(), line


@pytest.mark.parametrize("evaluations", [True, False])
def test_changes_of_course_are_told_even_when_evaluations_are_not(evaluations):
    """TRN-4, AUT-2: with --quiet, too."""
    out = terminal()
    watch = Watch(out, evaluations=evaluations)
    watch(Decision(step=4, name="continue", reason="continue", lines=["Evaluation #1"]))
    watch(Decision(step=5, name="early_stopping_patience", reason="stop", lines=["Evaluation #2"]))
    watch(Decision(step=9, name="turned_back", reason="the loss rose", lines=["step 9: the loss rose"]))
    watch(Decision(step=9, name="unpacked", reason="rows are [padded]"))
    said = out.export_text()
    assert ("Evaluation #1" in said, "Evaluation #2" in said) == (evaluations, evaluations)
    assert "changed     step 9: the loss rose\nchanged     rows are [padded]\n" in said


def _remember_many(folder: str, name: str, start: Any) -> None:
    start.wait()
    for number in range(20):
        reports._remember(
            Path(folder) / "training_history.json", {"run": f"{name}-{number}", "steps": number, "curve": None}
        )


def test_runs_that_end_at_once_all_stand_in_the_history(tmp_path):
    """TRN-7, REL-3: two processes, twenty runs each."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(2)
    both = [context.Process(target=_remember_many, args=(str(tmp_path), name, start)) for name in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    entries = json.loads((tmp_path / "training_history.json").read_text())
    assert sorted(entry["run"] for entry in entries) == sorted(f"{name}-{n}" for name in "ab" for n in range(20))
    assert "curve" not in entries[0]


def test_a_history_that_cannot_be_read_is_kept_aside(tmp_path):
    """REL-2"""
    path = tmp_path / "training_history.json"
    path.write_text("[{ spoilt")
    reports._remember(path, {"run": "one"})
    assert json.loads(path.read_text()) == [{"run": "one"}]
    assert (tmp_path / "training_history.damaged.json").read_text() == "[{ spoilt"
