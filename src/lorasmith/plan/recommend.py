"""Which profiles suit a model here: each by the memory plan for that very model, with the reason for its place (PRO-2). It ranks;
what a training then does is decided in `plan.choose`."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from lorasmith import profiles
from lorasmith.core.errors import UsageProblem
from lorasmith.core.facts import DataFacts, ModelFacts
from lorasmith.core.progress import amount
from lorasmith.families import FAMILIES
from lorasmith.hub.recognise import recognise
from lorasmith.hub.repository import open_repository
from lorasmith.plan import rules
from lorasmith.plan.fit import USABLE_MEMORY
from lorasmith.plan.hardware import HardwareFacts, describe, observe, parse_bytes
from lorasmith.plan.learned import NO_CORRECTION, Correction, correction
from lorasmith.plan.memory import Training, training_bytes
from lorasmith.profiles import Profile
from lorasmith.profiles.match import CLOSEST_FIRST, Closeness, Match, matches

LENGTH = 512
"""Tokens of the one row that the figures are for, where the model reads as many."""
LEARNT = 0.5  # share of a row that is an answer, where no data has been seen
_METHODS = {"none": "lora", "8bit": "lora", "4bit": "qlora"}


class Recommendation(BaseModel):
    """One profile for one model. Memory in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str
    title: str
    rank: int
    memory: int
    """What must be free to train it at the least: one row at a time, with every saving."""
    fits: bool
    closeness: Closeness
    layers: int
    """How many linear layers it adapts."""
    memory_usage: str
    why: str


class Recommendations(BaseModel):
    """Profiles for a model, the best first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    model_type: str
    device: str
    precision: str
    length: int
    """Tokens of the row that `memory` is for."""
    free: int
    """Bytes that may be used: what is free, or what was given."""
    can_be_trained: bool
    """Whether lorasmith trains this kind of model already."""
    profiles: list[Recommendation]
    left_out: dict[str, str]
    """Profiles for this kind of model that cannot be used with it, and why."""

    @property
    def best(self) -> Recommendation | None:
        """The first that fits."""
        return next((one for one in self.profiles if one.fits), None)


class _Case(NamedTuple):
    facts: ModelFacts
    machine: HardwareFacts
    free: int
    length: int
    precision: str
    learned: Correction

    @property
    def on_gpu(self) -> bool:
        return self.machine.device == "cuda"


def recommend(model: str, *, memory: str = "", hardware: str = "") -> Recommendations:
    """The profiles that match `model`, ranked. `memory`, such as 6GB, stands for what is free; `hardware` for another machine.

    Nothing of the model is fetched but configurations and headers. Raises what `open_repository`, `recognise`, `describe` and
    `recommend_for` raise.
    """
    machine = describe(hardware) if hardware else observe()
    facts = recognise(open_repository(model)).facts
    learned = NO_CORRECTION if machine.described else correction("train", machine.device, facts.family)
    return recommend_for(facts, machine, free=parse_bytes(memory) if memory else machine.free_bytes, learned=learned)


def recommend_for(
    facts: ModelFacts, machine: HardwareFacts, *, free: int, learned: Correction = NO_CORRECTION
) -> Recommendations:
    """The profiles that match the model of these facts, ranked for `free` bytes on this machine.

    Raises UsageProblem where the model's weights show no linear layer.
    """
    if facts.weight_form == "safetensors" and not facts.linear_names:
        raise UsageProblem(
            f"'{facts.id}' has no layer that an adapter goes on",
            why="Its weights hold no linear layers but heads and embeddings.",
        )
    length = min(LENGTH, facts.max_positions)
    case = _Case(facts, machine, free, length, rules.precision(facts, machine, machine.device).value, learned)
    found = [(one, matches(one, facts)) for one in profiles.all_profiles()]
    related = [(one, match) for one, match in found if match.closeness != "another kind"]
    made = [_Ranked(one, match, *_need(one, match, case)) for one, match in related if match.can_apply]
    made.sort(key=lambda ranked: ranked.order(case))
    useless = [one for one, match in related if not match.can_apply]
    return Recommendations(
        model_id=facts.id,
        model_type=facts.model_type or facts.architecture,
        device=machine.device,
        precision=case.precision,
        length=length,
        free=free,
        can_be_trained=FAMILIES.get(facts.family).can_learn(facts),
        profiles=[_shown(ranked, made, case) for ranked in made],
        left_out={one.name: f"none of its targets is there: {', '.join(one.target_modules)}" for one in useless},
    )


class _Ranked(NamedTuple):
    profile: Profile
    match: Match
    rank: int
    memory: int

    def fits(self, case: _Case) -> bool:
        return self.memory <= USABLE_MEMORY * case.free

    def order(self, case: _Case) -> tuple[int, ...]:
        """What fits first: whole weights before packed ones, the closest, then as listed. What does not: the smallest."""
        if not self.fits(case):
            return 1, self.memory
        return (
            0,
            self.profile.quantization != "none",
            not self.match.is_named,
            CLOSEST_FIRST.index(self.match.closeness),
        )


def _need(profile: Profile, match: Match, case: _Case) -> tuple[int, int]:
    """Rank, and bytes that must be free for one row."""
    rank = profile.r if isinstance(profile.r, int) else _rank_by_rule(case.facts)
    how = Training(
        _METHODS[profile.quantization], 1, case.length, case.precision, rank=rank, on_gpu=case.on_gpu,
        dropout=profile.dropout != 0, supervised=LEARNT, embeddings_aside=profile.quantization == "4bit",
        checkpointing=True, tight=True,
    )  # fmt: skip
    facts = case.facts
    if _leaves_encoder(facts, match):  # it is not walked back: nothing of it is kept
        facts = facts.model_copy(update={"stacks": facts.stacks[-1:]})
    need = training_bytes(facts, how)
    required = need.required - round(need.adapter * (1 - _share(case.facts, match)))
    return rank, required + case.learned.of(required)


def _share(facts: ModelFacts, match: Match) -> float:
    """Of an adapter on every linear layer the part that lies on those of the profile."""
    chosen = set(match.layers)
    sizes = {name: out + into for name, (out, into) in zip(facts.linear_names, facts.linear_shapes, strict=True)}
    return sum(size for name, size in sizes.items() if name in chosen) / sum(sizes.values()) if chosen else 1.0


def _leaves_encoder(facts: ModelFacts, match: Match) -> bool:
    is_pair = len(facts.stacks) > 1 and facts.stacks[-1].across is not None
    return is_pair and bool(match.layers) and not any(name.startswith("encoder.") for name in match.layers)


def _rank_by_rule(facts: ModelFacts) -> int:
    """The rank of AUT-1 for a model of this size, before anything is known of the data."""
    unseen = DataFacts(
        format="", objective="sft", num_rows=500, num_train=500, num_validation=0, num_bad_rows=0, num_tokens=0,
        num_supervised_tokens=0, length_p50=0, length_p995=0, length_max=0, max_answer_tokens=0, threshold=0, sha256="",
    )  # fmt: skip
    return rules.rank(facts, unseen).value


def _shown(ranked: _Ranked, among: list[_Ranked], case: _Case) -> Recommendation:
    profile, match = ranked.profile, ranked.match
    return Recommendation(
        profile=profile.name, title=profile.title, rank=ranked.rank, memory=ranked.memory, fits=ranked.fits(case),
        closeness=match.closeness, layers=len(match.layers), memory_usage=profile.memory_usage, why=_why(ranked, among, case),
    )  # fmt: skip


def _why(ranked: _Ranked, among: list[_Ranked], case: _Case) -> str:
    parts = [_closeness(ranked, case.facts)]
    if not ranked.fits(case):
        return f"{parts[0]}; {amount(ranked.memory - round(USABLE_MEMORY * case.free))} too much: a tenth is left alone"
    if ranked.profile.quantization != "none":
        parts.append(_packed(ranked, among, case))
    if _leaves_encoder(case.facts, ranked.match):
        parts.append("the encoder stays as it is, so nothing of it is kept")
    if ranked.profile.recommended_for and ranked.match.closeness != "every model":
        parts.append(
            f"for: {ranked.profile.recommended_for[0].lower()}{ranked.profile.recommended_for[1:].rstrip('.')}"
        )
    return "; ".join(parts)


def _closeness(ranked: _Ranked, facts: ModelFacts) -> str:
    kinds = [kind for kind in (*facts.part_types, facts.model_type) if kind in ranked.profile.model_types]
    if ranked.match.closeness == "every model":
        return "suits every model"
    if ranked.match.closeness == "made for it":
        return f"made for {kinds[0]}"
    return f"made for {ranked.profile.base_names[0]}, which is a {kinds[0]} too"


def _packed(ranked: _Ranked, among: list[_Ranked], case: _Case) -> str:
    """What a base in 4 bit is good for, where memory is as it is."""
    whole = [
        one for one in among if one.profile.quantization == "none" and one.match.closeness == ranked.match.closeness
    ]
    if not whole or not any(one.fits(case) for one in whole):
        return "the weights fit packed only"
    saved = min(one.memory for one in whole) - ranked.memory
    return f"saves {amount(saved)} that need not be saved, and is slower" if saved > 0 else "packing saves nothing here"
