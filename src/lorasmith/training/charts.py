"""Line charts as SVG, coloured by the page's variables. It knows no training: numbers in, text out, everything escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

Point = tuple[float, float]
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 14, 12, 26
_NEAR_ZERO = 0.35  # of the highest: a lowest value beneath it is shown from zero on
_OUTLIER = 4.0  # times what is usual: higher points are cut at the edge, or nothing else could be seen
_USUAL_SHARE = 0.9  # of the points; and where a line starts is usual, too
_SMOOTHING_SHARE = 0.06  # of all points, within which a smoothed line follows


@dataclass(frozen=True)
class Line:
    """One line of a chart. `is_faint` is for what lies behind the line that matters; `is_smoothed` draws the mean so far, within
    the scale that the points themselves ask for."""

    points: Sequence[Point]
    colour: str
    is_faint: bool = False
    is_smoothed: bool = False
    has_dots: bool = False


class Flag(NamedTuple):
    """Something that happened at a place of the x axis."""

    x: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Lines over steps. `label` says in words what is seen; `mark` is one point that stands out, with its name."""

    lines: Sequence[Line]
    label: str
    width: int = 760
    height: int = 270
    flags: Sequence[Flag] = field(default_factory=tuple)
    mark: tuple[Point, str] | None = None

    def svg(self) -> str:
        """The drawing; empty where there are not two points to draw a line between."""
        points = [point for line in self.lines for point in line.points if math.isfinite(point[1])]
        if len({x for x, _ in points}) < 2:
            return ""
        start = max((line.points[0][1] for line in self.lines if line.points), default=0.0)
        axes = _Axes(points, start, self.width, self.height)
        parts = [axes.grid(), *(_flag(flag, axes) for flag in self.flags), *(_line(line, axes) for line in self.lines)]
        if self.mark:
            parts.append(_mark(*self.mark, axes))
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(self.label)}">'
            f"{''.join(parts)}</svg>"
        )


class _Axes:
    """From values to places."""

    def __init__(self, points: Sequence[Point], start: float, width: int, height: int):
        values = sorted(y for _, y in points)
        highest, lowest = values[-1], values[0]
        usual = max(start, values[int(_USUAL_SHARE * (len(values) - 1))])
        if lowest >= 0 and highest > _OUTLIER * usual > 0:
            highest = usual * 1.5
        low = 0.0 if 0 <= lowest < _NEAR_ZERO * highest else lowest
        self.ticks = round_values(low, highest, 4)
        self.low, self.high = self.ticks[0], max(self.ticks[-1], highest)
        self.first, self.last = min(x for x, _ in points), max(x for x, _ in points)
        self.width, self.height = width, height

    def x(self, value: float) -> float:
        return _LEFT + (self.width - _LEFT - _RIGHT) * (value - self.first) / (self.last - self.first)

    def y(self, value: float) -> float:
        share = (min(self.high, max(self.low, value)) - self.low) / (self.high - self.low)
        return _TOP + (self.height - _TOP - _BOTTOM) * (1 - share)

    def grid(self) -> str:
        lines = "".join(
            f'<line x1="{_LEFT}" x2="{self.width - _RIGHT}" y1="{self.y(value):.1f}" y2="{self.y(value):.1f}" class="grid"/>'
            f'<text x="{_LEFT - 8}" y="{self.y(value) + 4:.1f}" text-anchor="end">{number(value, self.ticks)}</text>'
            for value in self.ticks
        )
        steps = [value for value in round_values(self.first, self.last, 5) if self.first <= value <= self.last]
        names = "".join(
            f'<text x="{self.x(step):.1f}" y="{self.height - 6}" text-anchor="middle">{step:,.0f}</text>'
            for step in steps
            if step == int(step)
        )
        return lines + names


def round_values(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from just beneath `low` on, as people would choose them, that reach `high`."""
    span = (high - low) or abs(high) or 1.0
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    start = math.floor(low / step + 1e-9)
    stop = max(start + 1, math.ceil(high / step - 1e-9))
    return [value * step for value in range(start, stop + 1)]


def number(value: float, ticks: Sequence[float]) -> str:
    """`value` with as many digits as its neighbours on the axis need."""
    step = ticks[1] - ticks[0]
    if value and (abs(ticks[-1]) < 1e-2 or abs(ticks[-1]) >= 1e5):
        return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e")
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if abs(step * 10**digits - round(step * 10**digits)) > 1e-6:
        digits += 1  # steps of 0.25
    return f"{value:.{digits}f}" if value else "0"


def smoothed(points: Sequence[Point]) -> list[Point]:
    """The exponential mean of the values so far; its start is not drawn towards zero."""
    kept = 1 - 1 / max(1.0, _SMOOTHING_SHARE * len(points))
    mean = weight = 0.0
    out: list[Point] = []
    for x, y in points:
        mean, weight = kept * mean + (1 - kept) * y, kept * weight + (1 - kept)
        out.append((x, mean / weight))
    return out


def _line(line: Line, axes: _Axes) -> str:
    points = [(x, y) for x, y in line.points if math.isfinite(y)]
    if line.is_smoothed:
        points = smoothed([(x, min(y, axes.high)) for x, y in points])
    places = [(axes.x(x), axes.y(y), x, y) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in places)
    kind = ' class="faint"' if line.is_faint else ""
    drawn = f'<polyline points="{path}" stroke="{line.colour}"{kind}/>'
    if line.has_dots:
        drawn += "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line.colour}"><title>step {step:,.0f}: {value:.4g}</title></circle>'
            for x, y, step, value in places
        )
    return drawn


def _mark(point: Point, name: str, axes: _Axes) -> str:
    x, y = axes.x(point[0]), axes.y(point[1])
    side, shift = ("end", 4) if x > axes.width / 2 else ("start", -4)
    above = y - 12 if y > _TOP + 24 else y + 22
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" class="mark"><title>{escape(name)}</title></circle>'
        f'<text x="{x + shift:.1f}" y="{above:.1f}" text-anchor="{side}" class="strong">{escape(name)}</text>'
    )


def _flag(flag: Flag, axes: _Axes) -> str:
    x = min(axes.width - _RIGHT, max(_LEFT, axes.x(flag.x)))
    side, shift = ("end", -5) if x > axes.width / 2 else ("start", 5)
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{axes.height - _BOTTOM}" class="flag"/>'
        f'<text x="{x + shift:.1f}" y="{_TOP + 10}" text-anchor="{side}" class="flagged">{escape(flag.text)}</text>'
    )
