"""References to programs and suites, and the errors if they do not exist."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from run_cases import outcome

import programs
import tasks
from evolve.commands import cli, running
from evolve.commands.references import read_program, read_suite
from evolve.config.files import to_yaml
from evolve.config.settings import Budget, Config
from evolve.errors import BadProgramOrData, UsageError
from evolve.search.driver import fresh_rng_seeds
from evolve.store import folders
from evolve.store.folders import runs_folder
from evolve.store.records import Final

CONFIG = Config(tasks=("digits_tiny",), budget=Budget(candidates=3))
SIGNED = "# name: Mine\n#source: here\n\ndef train(w, g, lr):\n    update = sign(g)\n    return update\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Run every test in an empty folder, with no runs elsewhere."""
    monkeypatch.delenv("PRIDE_RUNS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder):
    """Make a run of three candidates, the first of which is the best."""
    with folders.create("runs", "mine", "", to_yaml(CONFIG), {}) as store:
        for index in range(3):
            store.commit(outcome(index))
        yield store


def stdin(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def exit_code(capsys, *arguments: str) -> tuple[int | str | None, str]:
    """Run `pride`; return its exit code and its stderr."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return caught.value.code, capsys.readouterr().err


def test_runs_folder(monkeypatch):
    assert runs_folder() == Path("runs")
    monkeypatch.setenv("PRIDE_RUNS", "elsewhere")
    assert runs_folder() == Path("elsewhere")


@pytest.mark.parametrize("name", programs.seed_programs())
def test_seed_program(name):
    named = read_program(name)
    assert named.name == name
    assert named.program == programs.load(name)
    assert named.header.startswith("name: ")


def test_program_file(folder):
    (folder / "mine.opt").write_text(SIGNED)
    for reference in ("mine.opt", "./mine.opt", str(folder / "mine.opt")):
        named = read_program(reference)
        assert named.name == reference
        assert named.program == programs.parse(SIGNED)
        assert named.header == "name: Mine\nsource: here"
    (folder / "a:b").write_text(SIGNED)
    assert read_program("a:b").program == programs.parse(SIGNED)
    (folder / "adamw").write_text(SIGNED)
    assert read_program("adamw").program == programs.load("adamw")
    assert read_program("./adamw").program == programs.parse(SIGNED)


def test_a_path_to_a_run_gets_a_hint(folder, monkeypatch):
    example = Path(__file__).parents[1] / "runs" / "example"
    monkeypatch.setenv("PRIDE_RUNS", str(folder))
    for candidate in ("best", "3", "x"):
        with pytest.raises(UsageError, match=f"is called example, with PRIDE_RUNS={example.parent}"):
            read_program(f"{example}:{candidate}")


def test_program_on_stdin(monkeypatch, capsys):
    stdin(monkeypatch, SIGNED.encode())
    named = read_program("-")
    assert (named.name, named.program) == ("stdin", programs.parse(SIGNED))
    stdin(monkeypatch, b"")
    with pytest.raises(programs.ProgramError):
        read_program("-")
    stdin(monkeypatch, b"# " + b"x" * 5_000_000)
    with pytest.raises(programs.ProgramError, match="the most that is read"):
        read_program("-")
    stdin(monkeypatch, b"\xff")
    with pytest.raises(BadProgramOrData, match=r"stdin is not UTF-8 text \(byte 0\)"):
        read_program("-")
    stdin(monkeypatch, b"\xff")
    assert exit_code(capsys, "show", "-") == (4, "pride: stdin is not UTF-8 text (byte 0)\n")


def test_candidates_of_a_run(run):
    for index in range(3):
        named = read_program(f"mine:{index}")
        assert named.name == f"mine:{index}"
        assert str(named.program) == outcome(index).program
        assert named.header == ""
    assert read_program("mine:best").name == "mine:0"
    seeds = fresh_rng_seeds(CONFIG, "confirm")
    run.add_final(Final(program="p", candidate=0, purpose="confirm", rng_seeds=seeds, status="ok", score=0.1))
    run.add_final(Final(program="p", candidate=2, purpose="confirm", rng_seeds=seeds, status="ok", score=0.2))
    assert read_program("mine:best").name == "mine:2"


def test_run_without_a_best():
    folders.create("runs", "empty", "", to_yaml(CONFIG), {}).close()
    with pytest.raises(BadProgramOrData, match="no candidate that trained"):
        read_program("empty:best")


@pytest.mark.parametrize(
    ("reference", "code", "said"),
    [
        ("lyon", 4, "no seed program is called 'lyon' (did you mean 'lion'?)"),
        ("no/such/file.opt", 4, "there is no file no/such/file.opt"),
        ("folder", 4, "folder cannot be read: Is a directory"),
        ("folder.opt", 4, "folder.opt cannot be read: Is a directory"),
        ("latin.opt", 4, "latin.opt is not UTF-8 text (byte 2)"),
        ("broken.opt", 4, "line 2"),
        ("huge.opt", 4, "the most that is read"),
        ("mina:0", 2, "there is no run mina in runs (did you mean 'mine'?)"),
        ("zzz:best", 2, "there is no run zzz in runs; `pride list` shows the runs"),
        ("mine:3", 2, "run mine has no candidate 3; it has 3, numbered from 0"),
        ("mine:abc", 2, "'mine:abc' names no candidate; right would be mine:best or mine:12"),
        ("mine:-1", 2, "names no candidate"),
        ("mine:٣", 2, "names no candidate"),
        ("mine:", 2, "names no candidate"),
        ("mine:" + "9" * 5000, 2, "names no candidate"),
        (".mine:0", 4, "no seed program is called '.mine:0'"),
        ("", 4, ""),
    ],
)
def test_programs_that_are_not_there(folder, run, capsys, reference, code, said):
    for name in ("folder", "folder.opt"):
        (folder / name).mkdir()
    (folder / "latin.opt").write_bytes(b"# \xe9\n")
    (folder / "broken.opt").write_text("def train(w, g, lr):\n    update = sing(g)\n    return update\n")
    (folder / "huge.opt").write_text("#" * 70_000)
    found, error = exit_code(capsys, "show", reference)
    assert (found, error[:7]) == (code, "pride: ")
    assert said in error
    assert "Traceback" not in error


def test_suite_by_name(folder):
    assert read_suite("smoke") == ("digits_tiny",)
    assert read_suite("digits_tiny") == ("digits_tiny",)
    assert read_suite("first") == ("digits_mlp", "text_gpt")
    (folder / "smoke").write_text("tasks: []")
    assert read_suite("smoke") == ("digits_tiny",)


def test_suite_file(folder):
    content = "# two\ntasks: [digits_tiny, digits_mlp]\n"
    (folder / "mine.yaml").write_text(content)
    (folder / "mine").write_text(content)
    for path in ("mine.yaml", "./mine.yaml", str(folder / "mine.yaml"), "mine"):
        assert read_suite(path) == ("digits_tiny", "digits_mlp")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "got nothing; a suite file is like `tasks: ["),
        (b"tasks", 'got "tasks"; a suite file is like'),
        (b"[digits_mlp]", 'got ["digits_mlp"]; a suite file is like'),
        (b"tasks: [digits_mlp]\nsteps: 5", '"steps": 5}; a suite file is like'),
        (b"tasks: digits_mlp", 'tasks (line 1): got "digits_mlp"; a suite file is like'),
        (b"\ntasks: []", "tasks (line 2): got []; a suite file is like"),
        (b"tasks: [1]", "tasks[0] (line 1): got 1; right would be one of digits_tiny, "),
        (b"tasks:\n- digits_mlp\n- on", 'tasks[1] (line 3): got "on"; right would be one of'),
        (b"tasks: [[digits_mlp]]", 'got ["digits_mlp"]; right would be one of'),
        (b"tasks: [{a: 1}]", 'got {"a": 1}; right would be one of'),
        (b"tasks: [first]", 'got "first"; right would be one of'),
        (b"tasks: [digits_mpl]", "did you mean 'digits_mlp'?"),
        (b"tasks: [digits_mlp, digits_mlp]", 'tasks[1] (line 1): got "digits_mlp" again; right would be'),
        (b"tasks: [digits_mlp]\ntasks: [text_gpt]", "tasks (line 2): got it again, after tasks (line 1)"),
        (b"tasks: [&a digits_mlp, *a]", "(line 1): aliases and anchors"),
        (b"tasks: !!python/object/apply:os.getcwd []", "(line 1): tags"),
        (b"tasks: [", "(line 1): while parsing"),
        (b"tasks: [\xff]", "(line 1): this is not UTF-8 text"),
        (b"? {a: b}\n: c", "line 1: got a list or a group"),
        (b"[" * 60_000, "nested deeper than 8 levels"),
        (b"#" * 70_000, "larger than 65536 bytes"),
    ],
)
def test_bad_suite_file(folder, content, said):
    (folder / "bad.yaml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_suite("bad.yaml")
    assert str(caught.value).startswith("bad.yaml")
    assert said in str(caught.value)


def test_suites_that_are_not_there(folder, capsys):
    (folder / "folder.yaml").mkdir()
    for reference, said in [
        ("smok", "unknown suite or task 'smok' (did you mean 'smoke'?)"),
        ("none.yaml", "cannot read none.yaml: No such file"),
        ("folder.yaml", "cannot read folder.yaml: Is a directory"),
        (".", "unknown suite or task '.'"),
        ("x" * 300, "unknown suite or task"),
    ]:
        with pytest.raises(UsageError) as caught:
            read_suite(reference)
        assert said in str(caught.value)
        code, error = exit_code(capsys, "evaluate", "adamw", "--tasks", reference)
        assert (code, error) == (2, f"pride: {caught.value}\n")


def test_a_search_takes_suite_files_and_resolves_them_to_names(folder, capsys):
    (folder / "suites").mkdir()
    (folder / "suites" / "mine.yml").write_text("tasks: [digits_mlp, digits_tiny]")
    (folder / "a.yaml").write_text("tasks: [smoke, suites/mine.yml]\nbudget: {candidates: 1}\n")
    assert running._load_config("a.yaml", ()).tasks == ("digits_tiny", "digits_mlp")
    assert running._load_config("smoke", ("tasks=suites/mine.yml",)).tasks == ("digits_mlp", "digits_tiny")
    code, error = exit_code(capsys, "search", "smoke", "--set", "tasks=none.yaml", "--pool", "serial")
    assert (code, error) == (2, "pride: cannot read none.yaml: No such file or directory\n")
    assert not (folder / "runs").exists()


def test_commands_that_train_nothing_start_without_jax(run):
    code = (
        "import sys; from evolve.commands import cli\n"
        "try: cli.main()\n"
        "finally: print('jax' in sys.modules, file=sys.stderr)"
    )
    for arguments in (["list"], ["show", "mine:best"], ["functions"], ["status", "mine"]):
        process = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        assert (process.returncode, process.stderr) == (0, "False\n")


def test_every_task_has_a_name_that_is_no_path():
    for name in (*tasks.TASKS, *tasks.SUITES):
        assert name.isidentifier()


def test_transformed_program(folder, run, monkeypatch):
    (folder / "paths").mkdir()
    (folder / "paths" / "mine.opt").write_text(SIGNED)
    adamw, signed, candidate = programs.load("adamw"), programs.parse(SIGNED), programs.parse(outcome(1).program)
    clipped = programs.clip_by_global_norm(adamw)
    for reference, wanted in [
        ("lookahead:adamw", programs.lookahead(adamw)),
        ("lookahead,k=10,alpha=0.8:adamw", programs.lookahead(adamw, k=10, alpha=0.8)),
        ("lookahead,alpha=.25:adamw", programs.lookahead(adamw, alpha=0.25)),
        ("weight_decay,rate=1E-3:adamw", programs.weight_decay(adamw, 0.001)),
        ("lookahead:clip_by_global_norm:adamw", programs.lookahead(clipped)),
        ("clip_by_global_norm,max_norm=2:lookahead:adamw", programs.clip_by_global_norm(programs.lookahead(adamw), 2)),
        ("lookahead:lookahead,k=2:adamw", programs.lookahead(programs.lookahead(adamw, k=2))),
        ("bias_correction:adamw_paper", programs.bias_correction(programs.load("adamw_paper"))),
        ("l2:mine:1", programs.l2(candidate)),
        ("l2:mine:best", programs.l2(candidate)),
        ("clip_by_value:paths/mine.opt", programs.clip_by_value(signed)),
        (f"clip_by_value:{folder}/paths/mine.opt", programs.clip_by_value(signed)),
    ]:
        named = read_program(reference)
        assert (named.name, named.program) == (reference, wanted)
    stdin(monkeypatch, SIGNED.encode())
    assert read_program("lookahead:-").program == programs.lookahead(signed)


def test_header_of_a_transformed_program(run):
    row = programs.TRANSFORMATIONS["lookahead"]
    lion = read_program("lion").header
    named = read_program("lookahead,k=10:bias_correction:lion")
    assert named.header.splitlines() == [
        "lookahead (k = 10, alpha = 0.5) of bias_correction:lion",
        f"source: {row.source}",
        "bias_correction of lion",
        f"source: {programs.TRANSFORMATIONS['bias_correction'].source}",
        *lion.splitlines(),
    ]
    assert read_program("lookahead:mine:best").header == (
        f"lookahead (k = 5, alpha = 0.5) of mine:0\nsource: {row.source}"
    )


def test_what_wins_where_a_transformation_has_the_name_of_a_run_or_file(folder):
    lion, candidate = programs.load("lion"), programs.parse(outcome(1).program)
    (folder / "1").write_text(programs.source_text("lion"))
    assert read_program("lookahead:1").program == programs.lookahead(lion)
    with folders.create("runs", "lookahead", "", to_yaml(CONFIG), {}) as store:
        for index in range(2):
            store.commit(outcome(index))
    for reference, candidate_name in [("lookahead:1", "lookahead:1"), ("lookahead:best", "lookahead:0")]:
        named = read_program(reference)
        assert (named.name, named.program) == (candidate_name, candidate)
    assert read_program("lookahead:lion").program == programs.lookahead(lion)
    assert read_program("lookahead:./1").program == programs.lookahead(lion)
    assert read_program("lookahead:lookahead:1").program == programs.lookahead(candidate)
    assert read_program("lookahead,k=5:1").program == programs.lookahead(lion)
    with pytest.raises(UsageError, match="run lookahead has no candidate 7"):
        read_program("lookahead:7")
    (folder / "lookahead:lion").write_text(SIGNED)
    assert read_program("lookahead:lion").program == programs.parse(SIGNED)


@pytest.mark.parametrize(
    ("reference", "code", "said"),
    [
        (
            "lookahed:adamw",
            2,
            "no transformation and no run called 'lookahed' (did you mean 'lookahead'?); `pride show",
        ),
        ("lookahed,k=3:adamw", 2, "did you mean 'lookahead'?"),
        ("lookahead:weight-decay:adamw", 2, "did you mean 'weight_decay'?"),
        ("lookahed:mine:1", 2, "did you mean 'lookahead'?"),
        ("lookahed:no/such.opt", 2, "did you mean 'lookahead'?"),
        ("zzz:adamw", 2, "no transformation and no run called 'zzz'; `pride show --help` lists the transformations"),
        ("lookahead", 2, "'lookahead' names no program to transform; right would be lookahead:adamw"),
        ("l2,decay=1", 2, "'l2,decay=1' names no program to transform; right would be l2,decay=1:adamw"),
        ("lookahead:", 2, "'lookahead:' names no program"),
        ("lookahead:l2:", 2, "'l2:' names no program"),
        (
            "lookahead,alpah=0.8:adamw",
            2,
            "lookahead has no setting 'alpah' (did you mean 'alpha'?); its settings are k, a",
        ),
        ("bias_correction,b=0.9:adamw", 2, "bias_correction has no setting 'b'; it has no settings"),
        ("lookahead,:adamw", 2, "lookahead has no setting ''"),
        ("lookahead,k:adamw", 2, "k is ''; right would be a whole number from 1 to 16777216"),
        ("lookahead,k=ten:adamw", 2, "lookahead,k=ten: k is 'ten'; right would be a whole number"),
        ("lookahead,k=٣:adamw", 2, "right would be a whole number"),
        ("lookahead,k=2.5:adamw", 2, "k is 2.5; right would be a whole number"),
        ("lookahead,alpha=nan:adamw", 2, "alpha is 'nan'; right would be a number from 0 to 1"),
        ("l2,decay=1e999:adamw", 2, "decay is inf; right would be a finite number from 0"),
        ("lookahead,k=2,k=2:adamw", 2, "lookahead,k=2,k=2: k is given twice"),
        ("lookahead:lino", 4, "no seed program is called 'lino' (did you mean 'lion'?)"),
        ("lookahead:best", 4, "no seed program is called 'best'"),
        ("lookahead:no/such.opt", 4, "there is no file no/such.opt"),
        ("lookahead:mine:9", 2, "run mine has no candidate 9"),
        ("lookahead:mina:0", 2, "there is no run mina in runs (did you mean 'mine'?)"),
        ("lookahead:mine:abc", 2, "'mine:abc' names no candidate"),
        ("clip_by_value:" * 600 + "adamw", 4, "a program has at most 1000"),
        ("bias_correction:" * 4000 + "sgd:", 2, "no transformation and no run called 'sgd'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_transformed_programs_that_are_not_there(run, capsys, reference, code, said):
    found, error = exit_code(capsys, "show", reference)
    assert (found, error[:7]) == (code, "pride: ")
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize("command", ["show", "simplify", "export"])
def test_commands_take_transformed_programs(capsys, command):
    options = {"export": ("--to", "optax"), "simplify": ("--rules",)}.get(command, ())
    with pytest.raises(SystemExit) as caught:
        cli.main((command, "lookahead,k=3:sgd", *options))
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "slow" in printed
    assert "3.0" in printed


def test_help_lists_the_transformations(capsys):
    with pytest.raises(SystemExit):
        cli.main(("show", "--help"))
    printed = capsys.readouterr().out
    assert "lookahead,k=5,alpha=0.5 " in printed
    for row in programs.TRANSFORMATIONS.values():
        assert row.name in printed
        assert row.summary in printed
