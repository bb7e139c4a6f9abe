"""Is this machine and this installation in order? Each finding says what is so, why it matters and what to do (INS-1, CHK-11).

It changes nothing, makes no folder and imports no torch; all but the question to the Hub is answered on this machine.
"""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from pydantic import BaseModel, ConfigDict, computed_field

from lorasmith.plan import hardware
from lorasmith.plan.doctor.finding import Finding, Level
from lorasmith.plan.doctor.home import home, leftovers, settings_in_force
from lorasmith.plan.doctor.hub import Question, hub, token
from lorasmith.plan.doctor.libraries import libraries, tools
from lorasmith.plan.doctor.machine import load, parts
from lorasmith.plan.hardware import HardwareFacts

SCHEMA_VERSION = 1


class DoctorReport(BaseModel):
    """All that was looked at, in the order in which it is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    lorasmith: str
    python: str
    hardware: HardwareFacts
    findings: list[Finding]

    @computed_field
    @property
    def ok(self) -> bool:
        """Whether there is no problem; warnings are none."""
        return not self.count("problem")

    def count(self, level: Level) -> int:
        return sum(finding.level == level for finding in self.findings)


def doctor() -> DoctorReport:
    """Look at this machine and this installation. Takes about a second, and three where the Hub does not answer."""
    is_busy = hardware.is_busy()  # first: the rest keeps a core at work itself
    known = settings_in_force()
    question = Question(known)
    machine = hardware.observe()
    version, python = metadata.version("lorasmith"), platform.python_version()
    findings = [
        Finding(topic="lorasmith", what=f"{version}, Python {python}, in {sys.prefix}", details={"prefix": sys.prefix}),
        *parts(machine),
        load(is_busy=is_busy),
        *home(known.settings, machine.disk_free_bytes),
        *leftovers(known.settings),
        known.finding,
        *libraries(machine),
    ]
    answer = question.answer()
    findings += [hub(answer), token(known, answer), *tools()]
    return DoctorReport(lorasmith=version, python=python, hardware=machine, findings=findings)
