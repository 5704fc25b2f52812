"""Every model and operator of the stress, by name, from four threads at once."""

import threading

import pytest

from millrace_torch.stress import KINDS, Kind, Options, run
from support import FIRST_DEVICE, FULL

THREADS = 4
VARIANTS = [pytest.param(kind, variant, id=f"{kind.name}-{variant.__name__}")
            for kind in KINDS for variant in kind.variants]


@pytest.mark.parametrize("kind, variant", VARIANTS)
def test_equal_to_the_cpu(kind, variant):
    iterations = kind.iterations if FULL else 2 * THREADS
    alone = Kind(kind.name, kind.noun, iterations, (variant,))
    report = run(alone, Options(THREADS, iterations, seed=7, device=FIRST_DEVICE), threading.Event())
    assert report.differences == []
    assert (report.done, report.errors) == (iterations, 0)


def test_kinds_differ_in_name_and_share_no_variant():
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    variants = [variant for kind in KINDS for variant in kind.variants]
    assert len(set(variants)) == len(variants)
