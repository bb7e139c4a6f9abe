"""LitGPT's `finetune lora` on rows that are tokens already; all linear layers, its head a chunk of tokens at a time."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import torch
from common import Clock, padded, read_job, tell
from litgpt.args import EvalArgs, TrainArgs
from litgpt.data import DataModule
from litgpt.finetune import lora
from litgpt.prompts import Default
from litgpt.scripts.convert_hf_checkpoint import convert_hf_checkpoint


class Rows(DataModule):
    """The job's rows, in their order."""

    def __init__(self, rows: list[dict[str, Any]], batch: int, clock: Clock, accumulation: int):
        super().__init__()
        self.rows, self.batch, self.clock, self.accumulation = rows, batch, clock, accumulation
        self.prompt_style = Default()
        self.asked = 0

    def connect(self, *_: Any, **__: Any) -> None:
        """Nothing has to be known of the tokenizer."""

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        if self.asked and self.asked % self.accumulation == 0:
            self.clock.tick()  # the next step is asked for: the one before has ended
        self.asked += 1
        batch = padded([row["row"] for row in rows])
        counts = torch.tensor([[len(row["row"]["ids"])] for row in rows])
        return batch | {"token_counts": {"raw": counts, "raw_plus_prompt_template": counts}}

    def _loader(self, rows: list[dict[str, Any]], collate: Any) -> Any:
        held = [{"row": row, "input_ids": torch.tensor(row["ids"])} for row in rows]
        return torch.utils.data.DataLoader(held, batch_size=self.batch, shuffle=False, collate_fn=collate)

    def train_dataloader(self) -> Any:
        return self._loader(self.rows, self.collate)

    def val_dataloader(self) -> Any:
        plain = Rows(self.rows[: self.batch], self.batch, Clock(), self.accumulation)
        return self._loader(self.rows[: self.batch], plain.collate)


def main() -> None:
    job, clock = read_job(), Clock()
    folder, model = Path(job["folder"]), Path(job["model"])
    if not (model / "lit_model.pth").exists():
        with contextlib.redirect_stdout(io.StringIO()):
            convert_hf_checkpoint(model, model_name=job["lit_name"], dtype="float32")
    said = io.StringIO()
    data = Rows(job["rows"], job["batch"], clock, job["accumulation"])
    # Its own schedules warm up for a step at least, and fall then.
    lora.get_lr_scheduler = lambda optimizer, **_: torch.optim.lr_scheduler.ConstantLR(
        optimizer, factor=1.0, total_iters=0
    )
    one_more = job["steps"] + 1  # the end of a step is seen when the next begins
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            lora.setup(
                model, folder / "out", precision={"float32": "32-true", "bfloat16": "bf16-true"}[job["precision"]], lora_r=job["rank"], lora_alpha=job["alpha"], lora_dropout=0.0,
                lora_key=True, lora_projection=True, lora_mlp=True, data=data, seed=0,
                optimizer={"class_path": "torch.optim.AdamW", "init_args": {"lr": job["rate"], "weight_decay": 0.0}},
                train=TrainArgs(
                    save_interval=10**6, log_interval=1, global_batch_size=job["batch"] * job["accumulation"],
                    micro_batch_size=job["batch"], lr_warmup_steps=0, epochs=2, max_steps=one_more,
                ),
                eval=EvalArgs(interval=10**6, max_new_tokens=1, max_iters=1, final_validation=False),
            )  # fmt: skip
    except Exception:
        if len(clock.ends) < job["steps"]:  # what it does after its last step (merging) is not what is timed
            raise
    losses = [float(found) for found in re.findall(r"loss train: ([\d.]+)", said.getvalue())]
    tell(clock, losses[: job["steps"]], [], "padded, chunked head")


main()
