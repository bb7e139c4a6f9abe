"""Many conversations in one batch, each with its adapter: what comes out is what each alone would give."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.adapters import demo_adapters, make_adapter

from lorasmith.core.errors import DoesNotFitProblem, LorasmithError, NotFoundProblem, UsageProblem
from lorasmith.data.render import prompt_ids
from lorasmith.data.tokenizer import load_tokenizer
from lorasmith.demo import MODEL_FOLDER
from lorasmith.engines import GenerateRequest
from lorasmith.families import FAMILIES
from lorasmith.families._calls import untold
from lorasmith.families._probes import picture
from lorasmith.testing import tiny
from lorasmith.workers import lora
from lorasmith.workers.answering import selfcheck
from lorasmith.workers.answering.adapters import AdapterBank
from lorasmith.workers.answering.batching import Batch
from lorasmith.workers.answering.grammar import Grammars
from lorasmith.workers.answering.passes import Passes
from lorasmith.workers.answering.rows import Row
from lorasmith.workers.answering.sampling import Sampler

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*")  # PEFT's own
_TOKENS = 12


def demo() -> Any:
    return FAMILIES.get("language").load(MODEL_FOLDER, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return demo_adapters(tmp_path_factory.mktemp("adapters"), 8)


class Desk:
    """A batch over the demo model, and what came of each request."""

    def __init__(self, adapters: dict[str, Path] | None = None, *, max_rows: int = 32, room_bytes: int = 10**9):
        self.passes = Passes(model := demo(), AdapterBank(model))
        for name, folder in (adapters or {}).items():
            self.passes.bank.load(name, folder)
        self.tokens: dict[str, list[int]] = {}
        self.told: dict[str, list[Any]] = {}
        self.ends: dict[str, str | LorasmithError] = {}
        self.batch = Batch(self.passes, max_rows=max_rows, room_bytes=room_bytes, send=self._send, end=self._end)

    def _send(self, written: list[tuple[Row, int, Any]]) -> None:
        for row, token, told in written:
            self.tokens[row.id].append(token)
            self.told[row.id].append(told)

    def _end(self, row: Row, reason: str | LorasmithError) -> None:
        assert row.id not in self.ends
        self.ends[row.id] = reason

    def ask(self, id_: str, prompt: list[int], *, max_tokens: int = _TOKENS, **fields: Any) -> None:
        fields = {"ignore_stop": True, **fields}
        matcher = fields.pop("matcher", None)
        request = GenerateRequest(prompt_ids=prompt, max_tokens=max_tokens, **fields)
        self.tokens[id_], self.told[id_] = [], []
        self.batch.add(Row(id_, request, sampler=Sampler(request, {}, matcher), stops=frozenset({2}), context=1024))

    def run(self) -> None:
        for _ in range(5000):
            if not self.batch.is_busy:
                return
            self.batch.step()
        raise AssertionError("it never ends")


def prompts(count: int) -> list[list[int]]:
    tokenizer = load_tokenizer(MODEL_FOLDER)
    texts = [
        f"Copy this text: invoice {number} from Ada, " + "bread and milk, " * (number % 5) for number in range(count)
    ]
    return [prompt_ids([{"role": "user", "content": text}], tokenizer) for text in texts]


def alone(prompt: list[int], adapter: Path | None) -> list[int]:
    """Greedy tokens by transformers and PEFT themselves."""
    import peft

    model = demo()
    if adapter is not None:
        model = peft.PeftModel.from_pretrained(model, adapter).eval()
    ids = torch.tensor([prompt])
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=_TOKENS,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return out[0, len(prompt) :].tolist()


def test_a_mixed_batch_answers_as_each_adapter_alone(adapters: dict[str, Path]) -> None:
    """SRV-8: 16 conversations of 8 adapters and the base in one batch; transformers and PEFT say the same one by one."""
    desk, given = Desk(adapters), prompts(17)
    names = [*list(adapters) * 2, ""]
    for index, (prompt, name) in enumerate(zip(given, names, strict=True)):
        desk.ask(str(index), prompt, adapter=name)
    desk.run()
    expected = [alone(prompt, adapters.get(name)) for prompt, name in zip(given, names, strict=True)]
    assert [desk.tokens[str(index)] for index in range(17)] == expected
    assert len({tuple(tokens) for tokens in expected}) > 8  # the adapters do change what is said


def test_those_who_join_and_leave_disturb_nobody(adapters: dict[str, Path]) -> None:
    """SRV-2, SRV-8: conversations that come while others are written, and go before them, change no token."""
    desk, given = Desk(adapters), prompts(8)
    names = ["a1", "", "a2", "a0", "a1", "a3", "", "a2"]
    for index, (prompt, name) in enumerate(zip(given, names, strict=True)):
        desk.ask(str(index), prompt, adapter=name, max_tokens=_TOKENS - index % 3 * 4)
        for _ in range(index % 4):
            desk.batch.step()
    desk.run()
    for index, (prompt, name) in enumerate(zip(given, names, strict=True)):
        count = _TOKENS - index % 3 * 4
        assert desk.tokens[str(index)] == alone(prompt, adapters.get(name))[:count]


def test_a_client_that_goes_away_frees_its_place_within_one_step() -> None:
    """SRV-2: with places for two, the third starts in the step after the first was cancelled."""
    desk, given = Desk(max_rows=2), prompts(3)
    for index, prompt in enumerate(given):
        desk.ask(str(index), prompt, max_tokens=500)
    desk.batch.step()
    assert desk.batch.counts == (2, 1)
    desk.batch.cancel("0")
    desk.batch.step()
    assert desk.ends == {"0": "cancelled"}
    assert desk.batch.counts == (2, 0)
    assert desk.tokens["2"]


def test_a_long_prompt_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """SRV-2: and those who are being answered get a token between two pieces."""
    desk, (short, long) = Desk(), (prompts(1)[0], prompts(5)[4] * 4)
    desk.ask("short", short)
    desk.batch.step()
    monkeypatch.setattr("lorasmith.workers.answering.batching._PREFILL_TOKENS", 64)
    desk.ask("long", long)
    before = len(desk.tokens["short"])
    desk.batch.step()
    assert not desk.tokens["long"]
    assert len(desk.tokens["short"]) == before + 1
    desk.run()
    assert desk.tokens["long"] == alone(long, None)
    assert desk.tokens["short"] == alone(short, None)


def test_adapters_that_are_more_than_matrices_answer_too(adapters: dict[str, Path], tmp_path: Path) -> None:
    """SRV-8: DoRA changes whole layers: such a one has batches of its own, and answers as it does alone."""
    dora = make_adapter(demo(), tmp_path / "dora", seed=9, r=4, lora_alpha=8, target_modules=["q_proj"], use_dora=True)
    desk, given = Desk({"a1": adapters["a1"], "dora": dora}), prompts(4)
    for index, name in enumerate(("a1", "dora", "", "dora")):
        desk.ask(str(index), given[index], adapter=name)
    desk.run()
    folders = {"a1": adapters["a1"], "dora": dora}
    for index, name in enumerate(("a1", "dora", "", "dora")):
        assert desk.tokens[str(index)] == alone(given[index], folders.get(name)), name


@pytest.mark.parametrize(
    ("family", "name"), [("embedding", "sentence_transformers"), ("classifier", "bert_sequence"), ("vision", "vit")]
)
def test_other_families_wear_adapters_too(family: str, name: str, tmp_path: Path) -> None:
    """SRV-8: what a model with an adapter answers is what it answers when PEFT has put the adapter on, and the base stays the base."""
    kind = FAMILIES.get(family)
    place = tiny.build(name, tmp_path / "model")

    def loaded() -> Any:
        return kind.load(place, dtype="float32", device="cpu")

    model, fresh = loaded(), loaded()
    processor = kind.processor(place, model)
    file = _png()
    call = kind.call(images=["x"]) if family == "vision" else kind.call(texts=["a red fox", "two?"])

    def answer(of: Any) -> Any:
        return kind.answer(of, processor, call, [file] * bool(call.media()), untold).value

    before = answer(model)
    folder = make_adapter(
        kind.wearer(fresh),
        tmp_path / "a",
        seed=1,
        size=3,
        task_type=None,
        r=4,
        target_modules=["query", "value", "q_proj", "v_proj"],
    )
    lora.load_adapters(kind.wearer(fresh), {"a": folder})  # puts its layers into the model itself
    wanted = answer(fresh)
    bank = AdapterBank(kind.wearer(model))
    bank.load("a", folder)
    bank.use(["a"])
    assert _numbers(answer(model)) == pytest.approx(_numbers(wanted), abs=1e-5)
    assert _numbers(wanted) != pytest.approx(_numbers(before), abs=1e-3)
    bank.use([""])
    assert answer(model) == before


def _png() -> bytes:
    file = io.BytesIO()
    picture().save(file, "PNG")
    return file.getvalue()


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for inner in value for number in _numbers(inner)]
    return [value] if isinstance(value, float) else []


def test_an_adapter_can_be_unloaded_and_loaded_again(adapters: dict[str, Path]) -> None:
    """SRV-8: under another name it says the same, and its layers are free of it in between."""
    desk, prompt = Desk({"a1": adapters["a1"]}), prompts(1)[0]
    bank = desk.passes.bank
    bank.unload("a1")
    desk.ask("base", prompt)
    desk.run()
    bank.load("again", adapters["a1"])
    desk.ask("again", prompt, adapter="again")
    desk.run()
    assert desk.tokens["base"] == alone(prompt, None)
    assert desk.tokens["again"] == alone(prompt, adapters["a1"])
    with pytest.raises(NotFoundProblem, match="a1"):
        bank.unload("a1")


def test_a_seed_draws_the_same_whoever_shares_the_batch(adapters: dict[str, Path]) -> None:
    """SRV-2: sampling depends on the request alone."""
    how = {"temperature": 1.5, "top_p": 0.95, "top_k": 50, "seed": 7, "adapter": "a1"}
    crowd, solo, given = Desk(adapters), Desk(adapters), prompts(6)
    for index, prompt in enumerate(given):
        crowd.ask(str(index), prompt, **(how if index == 3 else {"temperature": 1.0}))
    crowd.run()
    solo.ask("3", given[3], **how)
    solo.ask("other", given[3], **{**how, "seed": 8})
    solo.run()
    assert crowd.tokens["3"] == solo.tokens["3"]
    assert solo.tokens["other"] != solo.tokens["3"]


def test_memory_that_runs_out_costs_the_newest_conversation_alone() -> None:
    """SRV-9: the allocator's error ends one request with the numbers and a command; the others go on as if nothing had been."""
    desk, given = Desk(), prompts(3)
    for index, prompt in enumerate(given):
        desk.ask(str(index), prompt)
    desk.batch.step()
    write, failed = desk.passes.write, []

    def fails_once(*arguments: Any) -> Any:
        if not failed:
            failed.append(True)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")
        return write(*arguments)

    desk.passes.write = fails_once  # type: ignore[method-assign]
    desk.run()
    problem = desk.ends["2"]
    assert isinstance(problem, DoesNotFitProblem)
    assert "--load-in-8bit" in problem.fix
    assert [desk.tokens["0"], desk.tokens["1"]] == [alone(given[0], None), alone(given[1], None)]


def test_conversations_wait_where_there_is_no_room_for_them() -> None:
    """SRV-2, SEC-4: keys and values stay within the memory that is for them; nobody is lost."""
    desk, given = Desk(), prompts(1)[0]
    desk.ask("first", given, max_tokens=4)
    desk.run()
    per_token = desk.batch._bytes_per_token
    tight = Desk(room_bytes=per_token * 3 * (len(given) + 8))
    tight.batch._bytes_per_token = per_token
    for index in range(6):
        tight.ask(str(index), given, max_tokens=8)
    tight.batch.step()
    assert tight.batch.counts == (3, 3)
    tight.run()
    assert set(tight.ends.values()) == {"length"}


def test_scores_that_are_no_numbers_end_their_own_conversation(tmp_path: Path) -> None:
    """SRV-9: an adapter that overflows ends its own requests; a NaN in its file is refused at once, by the layer's name."""
    from safetensors.torch import load_file, save_file

    wild = make_adapter(
        demo(), tmp_path / "wild", seed=1, size=1e30, r=4, lora_alpha=4, target_modules=["q_proj", "k_proj"]
    )
    desk, given = Desk({"wild": wild}), prompts(2)
    desk.ask("wild", given[0], adapter="wild")
    desk.ask("base", given[1])
    desk.run()
    assert "NaN" in str(desk.ends["wild"])
    assert desk.tokens["base"] == alone(given[1], None)
    weights = load_file(wild / "adapter_model.safetensors")
    name = next(iter(weights))
    weights[name][0, 0] = torch.nan
    save_file(weights, wild / "adapter_model.safetensors")
    with pytest.raises(UsageProblem, match=r"damaged[\s\S]*no finite numbers"):
        desk.passes.bank.load("broken", wild)


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    """SRV-8: by the layer that does not fit, and nothing is left of it."""
    other = FAMILIES.get("language").load(tiny.build("qwen3", tmp_path / "qwen3"), dtype="float32", device="cpu")
    folder = make_adapter(other, tmp_path / "adapter", seed=1, r=4, lora_alpha=8, target_modules=["q_proj"])
    desk = Desk()
    with pytest.raises(UsageProblem, match=r"does not fit this model[\s\S]*q_proj"):
        desk.passes.bank.load("other", folder)
    assert desk.passes.bank.names == []
    with pytest.raises(NotFoundProblem):
        desk.passes.bank.load("none", tmp_path)


def test_an_answer_keeps_to_its_schema() -> None:
    """SRV-2: JSON of a schema, by what the tokenizer can write; a thought before it is free."""
    import json

    tokenizer = load_tokenizer(MODEL_FOLDER)
    grammars = Grammars(MODEL_FOLDER / "tokenizer.json", 1024, [2])
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "kind": {"enum": ["a", "b"]}},
        "required": ["n", "kind"],
    }
    desk, given = Desk(), prompts(2)
    desk.ask("schema", given[0], max_tokens=300, ignore_stop=False, matcher=grammars.matcher(schema))
    desk.ask("free", given[1])
    desk.run()
    answer = json.loads(tokenizer.encoder.decode(desk.tokens["schema"]))
    assert isinstance(answer["n"], int)
    assert answer["kind"] in ("a", "b")
    assert desk.tokens["free"] == alone(given[1], None)
    with pytest.raises(UsageProblem, match="schema"):
        grammars.matcher({"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}})


def test_a_model_bound_to_json_cannot_write_blanks_for_ever() -> None:
    """SRV-2: between the parts of JSON stands nothing, one blank, or a new line and what indents it."""
    bound = Grammars(MODEL_FOLDER / "tokenizer.json", 1024, [2])
    tokenizer = load_tokenizer(MODEL_FOLDER).encoder

    def takes(text: str) -> bool:
        matcher = bound.matcher({"type": "object", "properties": {"n": {"type": "integer"}}})
        assert matcher is not None
        try:
            for token in tokenizer.encode(text, add_special_tokens=False).ids:
                matcher.note(token)
        except UsageProblem:
            return False
        return True

    assert all(map(takes, ('{"n":1}', '{"n": 1}', '{\n  "n": 1\n}', '{\n\t"n": 1\n}')))
    assert not any(map(takes, ('{"n":  1}', '{"n":1\n\n}', '{"n":1\n' + " " * 40 + "}")))


def test_a_thought_that_grows_too_long_is_ended() -> None:
    """SRV-2, UI-2: after the tokens of its budget its end is written for the model, and the answer begins."""
    desk, given = Desk(), prompts(1)[0]
    desk.ask("thinks", given, thinking_budget={"max": 4, "start_ids": [], "end_ids": [50, 51], "is_open": True})
    desk.run()
    free = alone(given, None)
    assert desk.tokens["thinks"][:6] == [*free[:4], 50, 51]


def test_log_probabilities_are_those_of_the_scores() -> None:
    """SRV-2: of the token and of as many others, before temperature."""
    desk, given = Desk(), prompts(1)[0]
    desk.ask("told", given, logprobs=3, max_tokens=1)
    desk.run()
    scores = torch.log_softmax(desk.passes.model(torch.tensor([given])).logits[0, -1].float(), -1)
    told = desk.told["told"][0]
    best = torch.topk(scores, 3)
    assert [token for token, _ in told["top"]] == best.indices.tolist()
    assert told["logprob"] == pytest.approx(float(scores[told["id"]]), abs=1e-4)


@pytest.mark.parametrize("name", tiny.DECODERS)
def test_steps_are_shared_where_the_model_allows_it(name: str, tmp_path: Path) -> None:
    """SRV-2: every tiny decoder can be shared; the self-check compares scores with those of each row alone."""
    model = FAMILIES.get("language").load(tiny.build(name, tmp_path), dtype="float32", device="cpu")
    assert selfcheck.why_not(Passes(model, AdapterBank(model))) == ""


def test_a_model_whose_rows_disturb_each_other_is_not_shared() -> None:
    """SRV-2: the self-check sees it by the scores."""
    model = demo()
    model.model.embed_tokens.register_forward_hook(lambda _, __, out: out + out.mean(0, keepdim=True))
    assert "change" in selfcheck.why_not(Passes(model, AdapterBank(model)))


@pytest.mark.parametrize("temperature", [1e-5, 1e-6, 1e-30, 1.1754943508222875e-38, 5e-324, 0.0])
def test_however_cold_it_takes_the_likeliest(temperature: float) -> None:
    """SRV-9, REL-4: a score divided by 1e-38 is no number any more; found by made-up requests."""
    request = GenerateRequest(prompt_ids=[1], temperature=temperature, top_p=0.5, min_p=0.1, max_tokens=1)
    scores = torch.linspace(-40.0, 40.0, 300)
    assert Sampler(request, {}).choose(scores)[0] == 299
