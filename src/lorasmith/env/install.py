"""From a model's name to a folder that runs, trains and serves by itself, or to nothing at all: the steps of an installation."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from lorasmith.core import paths, settings
from lorasmith.core.errors import DoesNotFitProblem, EnvironmentProblem, InterruptedRun, LorasmithError, UsageProblem
from lorasmith.core.events import Listener, Progress, Step, Warn
from lorasmith.core.progress import amount, duration
from lorasmith.core.specs import make_spec
from lorasmith.env import folder as layout
from lorasmith.env.before import limits_close, refuse_unfit, require_disk
from lorasmith.env.environment import Environment, Probe
from lorasmith.env.loadtest import load_test
from lorasmith.env.log import InstallLog
from lorasmith.env.packages import NeedsHand, Packages, cure, packages_for
from lorasmith.env.records import ModelConfig, ModelInfo, write_model_config
from lorasmith.env.sources import sources_for
from lorasmith.env.spec import InstallSpec
from lorasmith.hub.download import download
from lorasmith.hub.installed import FILES_FOLDER, INFO_FILE, is_complete, place_for
from lorasmith.hub.locate import cached_snapshot, hub_id_of
from lorasmith.hub.pickles import require_harmless
from lorasmith.hub.repository import LocalRepository, Repository, open_repository
from lorasmith.hub.weights import is_pickle
from lorasmith.plan.check import check
from lorasmith.plan.report import CheckReport, Question

_WAITING = ".waits_for"  # in a partial folder: the environment is ready but for these packages


class InstallResult(NamedTuple):
    """Where the model lies now, and what it says of itself."""

    folder: Path
    info: ModelInfo


class _Job(NamedTuple):
    """What every step of one installation needs."""

    spec: InstallSpec
    known: settings.Settings
    repository: Repository
    report: CheckReport
    folder: Path
    log: InstallLog
    tell: Listener
    stop: threading.Event

    @property
    def partial(self) -> Path:
        return layout.partial_of(self.folder)

    def step(self, title: str, note: str) -> None:
        self.log.step(f"{title}: {note}")
        self.tell(Step(title=title, note=note))


def install(
    model: str | InstallSpec, *, replace: bool = False, on_event: Listener = lambda _: None,
    confirm: Callable[[str], bool] = lambda _: False, **options: Any,
) -> InstallResult:  # fmt: skip
    """Install a model: its files, its environment, a first call, its scripts. Blocks until it stands or nothing of it does.

    `options` are the fields of InstallSpec. `replace` (or a yes from `confirm`) lets it take the place of an installation of the
    same model, which stays until the new one is ready. Raises LorasmithError: the model is refused, something is missing, or it
    was interrupted (InterruptedRun).
    """
    spec = model if isinstance(model, InstallSpec) else make_spec(InstallSpec, model=model, **options)
    known = settings.load()
    source, repository = _opened(spec, known)
    report = check(spec.model, Question(revision=spec.revision), repository=repository)
    folder = place_for(repository.id, source, known.models_dir)
    refuse_unfit(spec, report)
    layout.mend(known.models_dir)
    with _interruptible(folder), layout.held(folder):
        if (
            is_complete(folder)
            and not replace
            and not confirm(f"'{folder.name}' is installed already. Install it anew?")
        ):
            raise UsageProblem(
                f"'{folder.name}' is installed already", fix=f"Replace it with:  lorasmith install {spec.model} --yes"
            )
        if layout.partial_of(folder).exists() and not (layout.partial_of(folder) / _WAITING).exists():
            on_event(Step(title="", note="Previous installation incomplete. Starting fresh…"))
        require_disk(known, report, folder)
        for warning in [*report.warnings, *limits_close(known, report, folder)]:
            on_event(Warn(message=warning))
        token = known.huggingface_token.get_secret_value() if known.huggingface_token else ""
        with (
            InstallLog(known.logs_dir / "install" / f"{folder.name}.log", token) as log,
            _clean_up(folder, log, on_event),
        ):
            job = _Job(spec, known, repository, report, folder, log, on_event, threading.Event())
            return _installed(job, source)


def _opened(spec: InstallSpec, known: settings.Settings) -> tuple[str, Repository]:
    """What the model was made from, and its repository: the folder, the Hub, or what the cache has of it without a network."""
    if spec.model == "demo" or Path(spec.model).expanduser().is_dir():
        repository = open_repository(spec.model)
        return spec.model if spec.model == "demo" else str(repository.folder), repository
    try:
        return spec.model, open_repository(spec.model, revision=spec.revision, only_hub=True)
    except EnvironmentProblem:
        place = cached_snapshot(hub_id_of(spec.model, known), known, spec.revision)
        if place is None:
            raise
        return spec.model, LocalRepository(place)


def _installed(job: _Job, source: str) -> InstallResult:
    """All steps into the partial folder, then its taking the place."""
    job.log.step(f"lorasmith {version('lorasmith')} installs {job.spec.model_dump_json()} at {job.folder}")
    if not (job.partial / _WAITING).exists():
        shutil.rmtree(job.partial, ignore_errors=True)
    for part in (layout.LOGS, FILES_FOLDER):
        paths.make_folder(job.partial / part)
    job.tell(Step(title="", note=f"{job.spec.model} → {job.folder}"))
    environment, probe = _environment(job)
    _fetch(job)
    write_model_config(
        job.partial,
        ModelConfig(
            dtype=job.spec.dtype, quantization=job.spec.quantization, trust_remote_code=job.spec.trust_remote_code
        ),
    )
    tested = {} if job.spec.no_test else _tested(job, environment)
    layout.write_scripts(job.partial)
    info = ModelInfo(
        **job.report.model_dump(exclude={"next_step"}), next_step=f"lorasmith train {job.spec.model} --data FILE", source=source,
        install_date=datetime.now(UTC), installer_version=version("lorasmith"), package_installer=environment.installer,
        model_bytes=sum(job.report.files.values()), environment_bytes=layout.own_bytes(environment.folder),
        versions=probe.versions, load_test=tested,
    )  # fmt: skip
    paths.write_text(job.partial / INFO_FILE, info.model_dump_json(indent=2) + "\n")
    job.log.step("complete")
    shutil.copyfile(job.log.path, job.partial / "install.log")
    with _undisturbed():
        layout.mark_complete(job.partial)
        wrong = layout.troubles(job.partial)
        if wrong:
            raise EnvironmentProblem("The installation is not sound", why="; ".join(wrong[:3]), fix="Install it again.")
        layout.take_place(job.folder)
    return InstallResult(job.folder, info)


def _environment(job: _Job) -> tuple[Environment, Probe]:
    """The environment with all packages in it, each imported once."""
    started = datetime.now(UTC)
    machine = job.report.hardware
    gpu = next((one for one in machine.gpus if one.kind in {"cuda", "rocm"}), None)
    environment = Environment(
        job.partial / layout.ENVIRONMENT, sources_for(gpu), job.log, store=job.known.cache_dir / "packages",
        installer=job.known.package_installer,
    )  # fmt: skip
    packages = packages_for(job.report.requirements, machine, job.spec.quantization)
    for sentence in packages.skipped:
        job.log.step(sentence)
    job.tell(
        Progress(
            stage="environment", done=0, total=0, unit="packages", note=f"{environment.installer} installs packages"
        )
    )
    if not environment.python.exists():
        environment.create()
    _install_packages(job, environment, packages)
    environment.adopt_bytecode(sorted(job.known.models_dir.glob(f"*/{layout.ENVIRONMENT}")))
    probe = environment.probe([*packages.ordinary, *packages.special, *packages.optional])
    _drop_broken(job, environment, packages, probe)
    size = amount(layout.own_bytes(environment.folder))
    spent = duration((datetime.now(UTC) - started).total_seconds())
    job.step("environment", f"{len(probe.versions)} packages by {environment.installer} in {spent}, {size} of its own")
    return environment, probe


def _install_packages(job: _Job, environment: Environment, packages: Packages) -> None:
    """Ordinary ones together; special ones one by one, each with its cure; optional ones if they come."""
    done = environment.install(packages.ordinary)
    if done.code:
        raise _failed(done.tail)
    for package in packages.special:
        if environment.install([package]).code:
            (job.partial / _WAITING).write_text("\n".join(packages.special))
            raise cure(package, environment, job.spec.model)
    for package in packages.optional:
        if environment.install([package]).code:
            job.tell(Warn(message=f"The optional package '{package}' could not be installed; the model does without."))


def _failed(tail: str) -> LorasmithError:
    if "no space left" in tail.lower():
        return DoesNotFitProblem(
            "The disk is full",
            why=tail.splitlines()[-1],
            fix="Free some, or set models_dir and cache_dir to another disk.",
        )
    return EnvironmentProblem(
        "The model's packages could not be installed",
        why=tail,
        fix="Check the network and try again; what was fetched is kept.",
    )


def _drop_broken(job: _Job, environment: Environment, packages: Packages, probe: Probe) -> None:
    """Packages that are there and cannot be imported: an optional one goes, of others the installation ends."""
    for package, why in probe.broken.items():
        if package not in packages.optional:
            raise EnvironmentProblem(
                f"The package '{package}' is installed and cannot be imported",
                why=why,
                fix="lorasmith doctor may say more.",
            )
        environment.uninstall(package)
        job.tell(Warn(message=f"The optional package '{package}' does not work here and is left out ({why})."))


def _fetch(job: _Job) -> None:
    """The model's files into the partial folder."""
    keep = job.known.cache_dir / "downloads" / job.folder.name
    try:
        got = download(
            job.repository, job.report.files, job.partial / FILES_FOLDER, keep=keep, workers=job.known.max_download_workers,
            resume=job.known.resume_downloads, link=job.spec.link, stop=job.stop, on_event=job.tell,
        )  # fmt: skip
    except BaseException:
        job.stop.set()
        raise
    for name in filter(is_pickle, job.report.files):
        require_harmless(job.partial / FILES_FOLDER / name, name)
    resumed = f", {amount(got.bytes_resumed)} were here already" if got.bytes_resumed else ""
    job.step("files", f"{got.files} files, {amount(got.bytes_total)} in {duration(got.seconds)}{resumed}")


def _tested(job: _Job, environment: Environment) -> dict[str, Any]:
    """The first call, in the model's own environment."""
    job.tell(Progress(stage="load test", done=0, total=0, unit="calls", note="the model is loaded and called once"))
    told = load_test(job.partial, job.report, environment.python, job.log, tell=job.tell)
    job.step("load test", str(told["call"]))
    return told


@contextlib.contextmanager
def _clean_up(folder: Path, log: InstallLog, tell: Listener) -> Generator[None]:
    """Whatever goes wrong, no half installation stays; only an environment that waits for a package does."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            tell(Step(title="", note="Installation interrupted. Cleaning up…"))
        if not isinstance(error, NeedsHand):
            with _undisturbed():
                shutil.rmtree(layout.partial_of(folder), ignore_errors=True)
            log.step("what was made so far is removed; fetched bytes are kept for the next time")
        if isinstance(error, LorasmithError):
            error.fix = f"{error.fix}\nThe log: {log.path}".strip()
        raise


@contextlib.contextmanager
def _interruptible(folder: Path) -> Generator[None]:
    """Ctrl+C and SIGTERM alike end an installation cleanly. Raises InterruptedRun."""
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRun(
            "Installation interrupted", why=f"Nothing of '{folder.name}' is left half done; bytes that were fetched are kept.",
            fix="Go on with the same command.",
        ) from None  # fmt: skip
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _undisturbed() -> Generator[None]:
    """No signal of the user's in here: a swap or a removal goes through."""
    held = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
