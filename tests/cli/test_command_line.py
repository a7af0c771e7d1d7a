"""The command line as a whole: help at once, errors of one line, interruptions, broken pipes."""

import resource

import pytest
from commands import Result, assert_one_line, python, run, start, write_checkpoint

from diffcore import cli
from diffcore.cli import describe, parser

COMMANDS = [
    "train",
    "sample",
    "evaluate",
    "evaluate nll",
    "evaluate fd",
    "plot",
    "plot schedules",
    "plot forward",
    "plot samplers",
    "info",
    "identities",
    "verify",
    "demo",
]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_says_what_and_the_defaults(capsys, command):
    result = run(capsys, *command.split(), "--help")
    assert result.status == 0
    assert result.err == ""
    assert result.out.startswith("usage: diffcore")
    for option in ("--seed", "--steps", "-n N", "--columns", "--sampler"):
        if f"\n  {option}" in result.out and command != "train":
            described = result.out.split(f"\n  {option}")[1].split("\n  -")[0]
            assert "(default:" in " ".join(described.split()), option


def test_version(capsys):
    result = run(capsys, "--version")
    assert (result.status, result.out) == (0, f"diffcore {cli.__version__}\n")


HEAVY = {"torch", "matplotlib", "PIL", "sklearn", "pyarrow", "scipy", "tqdm", "safetensors", "jax"}


def modules_after(code: str) -> set[str]:
    """Top-level modules loaded after `code`, in a process of its own."""
    done = python(f"{code}\nimport sys; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}


def test_the_parser_loads_no_backend():
    loaded = modules_after("from diffcore.cli import parser; parser()")
    assert not loaded & HEAVY
    assert "diffcore_torch" not in loaded


def test_a_backend_that_is_loaded_is_seen():
    loaded = modules_after("from diffcore.cli import parser; parser()\nimport diffcore_torch")
    assert {"torch", "diffcore_torch"} <= loaded


def cpu_seconds(*words: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with start(*words) as process:
        process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("words", [["--help"], ["sample", "--help"]])
def test_help_answers_in_half_a_second(words):
    # Time on the processor, which other processes do not lengthen much; the best of five.
    assert min(cpu_seconds(*words) for _ in range(5)) < 0.5


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "COMMAND"),
        (["paint"], "paint"),
        (["sample"], "RUN|CHECKPOINT"),
        (["sample", "x", "--colour"], "--colour"),
        (["sample", "x", "-n", "0"], "-n: must be at least 1"),
        (["sample", "x", "-n", "-3"], "-n"),
        (["sample", "x", "-n", "many"], "'many'"),
        (["sample", "x", "-n", "1.5"], "'1.5'"),
        (["sample", "x", "--steps", "0"], "--steps"),
        (["sample", "x", "--seed", "-1"], "--seed"),
        (["sample", "x", "--batch", "0"], "--batch"),
        (["sample", "x", "--eta", "1.5"], "--eta: must be from 0 to 1"),
        (["sample", "x", "--eta", "nan"], "--eta"),
        (["sample", "x", "--eta", "some"], "--eta"),
        (["sample", "x", "--sampler", "eulr"], "--sampler"),
        (["sample", "x", "--grid", "even"], "--grid"),
        (["sample", "x", "--weights", "both"], "--weights"),
        (["sample", "x", "--threshold", "hard"], "--threshold"),
        (["sample", "x", "--backend", "abacus"], "--backend"),
        (["evaluate"], "WHAT"),
        (["evaluate", "beauty"], "beauty"),
        (["evaluate", "nll", "x", "-n", "1"], "-n: must be at least 2"),
        (["evaluate", "nll", "x", "--method", "guess"], "--method"),
        (["evaluate", "nll", "x", "--probes", "-1"], "--probes"),
        (["evaluate", "fd", "x", "--channels", "2"], "--channels"),
        (["plot"], "WHAT"),
        (["plot", "surface"], "surface"),
        (["plot", "forward", "--columns", "1"], "--columns"),
        (["train"], "--recipe"),
        (["train", "--recipe", "digits", "--list"], "--list"),
        (["train", "--recipe", "digits", "--steps", "0"], "--steps"),
        (["train", "--recipe", "digits", "--set"], "--set"),
        (["demo", "--out"], "--out"),
    ],
)
def test_wrong_words_get_one_line(capsys, words, named):
    assert_one_line(run(capsys, *words), named, "--help")


def test_nobody_closes_the_pipe_with_a_complaint():
    # Enough output to fill a pipe that nobody reads.
    with start("train", "--list") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 141


def test_ctrl_c_ends_with_130_and_leaves_nothing(capsys, tmp_path, monkeypatch):
    from diffcore.cli import _sampling

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(_sampling, "draw", interrupted)
    source = write_checkpoint(tmp_path / "net.safetensors")
    result = run(capsys, "sample", source, "--out", tmp_path / "out" / "samples.png")
    assert result.status == 130
    assert result.err == "diffcore: interrupted\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_terminal_that_knows_only_ascii(tmp_path):
    path = write_checkpoint(tmp_path / "net.safetensors", classes=("café", "thé"))
    with start("info", path, environment={"PYTHONIOENCODING": "ascii"}) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "2: caf?, th?" in out


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("torch", ["sample", "net.safetensors"], "torch"),
        ("safetensors", ["info", "net.safetensors"], "checkpoint"),
        ("torch", ["train", "--recipe", "digits"], "torch"),
        ("matplotlib", ["plot", "schedules"], "plot"),
        ("sklearn", ["plot", "forward"], "data"),
    ],
)
def test_a_missing_package_says_which_extra_has_it(tmp_path, module, words, extra):
    write_checkpoint(tmp_path / "net.safetensors")
    code = (
        f"import sys; sys.modules[{module!r}] = None; from diffcore.cli import main; "
        f"sys.exit(main({words!r}))"
    )
    done = python(code, cwd=tmp_path)
    assert_one_line(Result(done.returncode, done.stdout, done.stderr), f"diffcore[{extra}]")
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_what_nobody_foresaw_says_how_to_report_it(capsys, monkeypatch):
    def broken(args):
        raise KeyError("a\nb")

    monkeypatch.setattr(cli.info, "run", broken)
    assert_one_line(run(capsys, "info"), "KeyError", "--traceback")
    with pytest.raises(KeyError):
        run(capsys, "--traceback", "info")


def test_errors_of_the_file_system_name_the_file(tmp_path):
    with pytest.raises(OSError) as caught:  # noqa: PT011
        (tmp_path / "none").read_text()
    assert describe(caught.value) == f"{tmp_path / 'none'}: No such file or directory"


def test_every_option_has_help():
    actions = [
        action
        for command in parser()._subparsers._group_actions[0].choices.values()
        for action in command._actions
    ]
    assert len(actions) > 40
    assert [a.dest for a in actions if not a.help and a.metavar != "WHAT"] == []
