"""Sets up Django on a database of the benchmarks' own, so that nothing measured touches what is in use."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks are run as files, from anywhere


def data_folder() -> Path:
    """Return the data folder that all benchmarks share, and nothing else."""
    return Path(os.environ.get("ARIZEKEYS_DATA", ROOT / ".arizekeys")).absolute() / "benchmarks"


def set_up() -> None:
    """Prepare Django and an up-to-date database; ``DATABASE_URL`` is not used, since the benchmarks fill theirs."""
    os.environ.pop("DATABASE_URL", None)
    os.environ["ARIZEKEYS_DATA"] = str(data_folder())
    os.environ["DJANGO_SETTINGS_MODULE"] = "arizekeys.settings"
    import django  # -- only now does it know its settings
    from django.conf import settings  # -- as above

    from arizekeys import local  # -- only now can it be found

    settings.DATABASES["default"]["USER"] = local.OWNER  # they fill and analyze tables, which the application may not
    django.setup()
    from django.core.management import call_command  # -- as above

    call_command("migrate", verbosity=0)


def say(what: str) -> None:
    """Tell on standard error how far things are."""
    print(what, file=sys.stderr, flush=True)


def seconds(do: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long one call takes."""
    start = clock()
    do()
    return clock() - start


def interleaved(
    cases: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the median duration of each case in seconds.

    The cases take turns, each round in another order, so that whatever else the machine does falls on all alike.
    """
    times: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for number in range(rounds):
        for step in range(len(names)):
            name = names[(number + step) % len(names)]
            times[name].append(seconds(cases[name], clock))
    return {name: statistics.median(values) for name, values in times.items()}


def table(medians: dict[str, float], base: str) -> None:
    """Print medians in microseconds and as ratios to one of them."""
    width = max(map(len, medians))
    for name, median in medians.items():
        print(f"{name:<{width}}  {median * 1e6:10.1f} µs   × {median / medians[base]:.3f}")
