"""What the zoo's tests ask of a subject: one check of it, or those that draw, for many seeds."""

from dataclasses import replace

from diffcore.verify import examine, libraries
from diffcore.verify.checks import CHECKS

DRAWING = ("linear", "exactness", "clipping", "batches", "arrays")
"""The checks of samplers whose numbers follow from the subject's seed."""


def subject(adapter, target, **options):
    """The target as a subject of its adapter."""
    return adapter.subject(target, library=libraries.of(libraries.guess(target)), **options)


def result(made, check):
    """What one check comes to."""
    return examine(made, [c for c in CHECKS if c.name == check])[check]


def alarms(made, labels, seeds):
    """The failures, seed by seed, of the checks that draw, on the samplers with these labels."""
    checks = [c for c in CHECKS if c.name in DRAWING]
    samplers = tuple(s for s in made.samplers if s.label in labels)
    assert len(samplers) == len(labels)
    few = replace(made, samplers=samplers, with_steps=None, options=())
    return [
        (seed, failure)
        for seed in seeds
        for failure in examine(replace(few, seed=seed), checks).failures
    ]
