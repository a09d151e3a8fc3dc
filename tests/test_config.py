"""The config of a search: what is accepted, what is rejected, and the error messages."""

import math

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import programs
from evolve.config import files as configs
from evolve.config.settings import FREE_TO_CHANGE, Budget, Config, Mutations, ProgramLimits, Round
from evolve.errors import UsageError, UserError

TASKS = ("digits_tiny", "smoke", "first")
PROGRAMS = ("adamw", "lion", "sgd", "momentum")
GOOD = "tasks: smoke\nbudget: {candidates: 10}\n"


@pytest.fixture
def load(tmp_path):
    """Return a function that loads YAML text, with the names above known."""

    def load(text, *overrides):
        path = tmp_path / "search.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return configs.load_config(str(path), overrides, known_tasks=TASKS, known_programs=PROGRAMS)

    return load


def refusal(load, text, *overrides):
    with pytest.raises(UsageError) as caught:
        load(text, *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_presets_load_with_their_names_checked():
    assert {"first", "smoke"} <= set(configs.presets())
    for name in configs.presets():
        config = configs.load_config(name, known_tasks=TASKS, known_programs=programs.seed_programs())
        assert config.budget.candidates or config.budget.trained


def test_only_what_must_be_given_is_needed(load):
    config = load(GOOD)
    assert config.tasks == ("smoke",)
    assert config.compare == PROGRAMS
    assert config.rng_seeds == 3
    with pytest.raises(pydantic.ValidationError):
        config.population = 5


def test_yaml_1_2_scalars(load):
    config = load("tasks: smoke\nbudget: {seconds: 1e3}\nmutations: {insert: 1e-3, delete: 2}\n")
    assert config.budget.seconds == 1000.0
    assert config.mutations.insert == 0.001
    assert config.mutations.delete == 2.0
    assert isinstance(config.mutations.delete, float)
    for word in ("on", "off", "yes", "no"):
        assert f'got "{word}"' in refusal(load, GOOD + f"population: {word}\n")
    assert "got true" in refusal(load, GOOD + "population: true\n")
    assert load(GOOD + "population: 010").population == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("# nothing but a comment\n", "is empty"),
        ("- smoke\n", "not a group of settings"),
        ("tasks: smoke\nbudget: &b {candidates: 1}\n", "(line 2): aliases and anchors"),
        ("a: 1\nb: *a\n", "(line 2): aliases and anchors"),
        ("tasks: !!python/name:os.system x\n", "(line 1): tags"),
        ("tasks: !!str x\n", "(line 1): tags"),
        ("tasks: smoke\n---\ntasks: smoke\n", "found another document"),
        ("tasks: [smoke\nbudget: 3\n", "(line 2): while parsing a flow sequence"),
        ("tasks:\n\tsmoke\n", "(line 2): "),
        ("[" * 30_000, "nested deeper than 8 levels"),
        ("- " * 30_000, "nested deeper than 8 levels"),
        ("#" * 65_537, "larger than 65536 bytes"),
        ("tasks: a\nb: \x01\n", "(line 2): a character"),
        (b"tasks: smoke\nstart: \xff\n", "(line 2): this is not UTF-8"),
    ],
)
def test_text_that_is_no_config_is_refused_before_work(load, text, said):
    assert said in refusal(load, text)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("population: many", 'population (line 3): got "many"; right would be a whole number'),
        ("population: 1", "population (line 3): got 1; right would be a whole number from 2"),
        ("population: 2.0", "population (line 3): got 2.0; right"),
        ("population:", "population (line 3): got nothing; right"),
        ("population: 9999999999999999999999", "got 1e+22; right would be a whole number"),
        ("rng_seed: -1", "rng_seed (line 3): got -1; right would be a whole number from 0"),
        ("deadline_seconds: 0", "got 0; right would be a number above 0"),
        ("deadline_seconds: .nan", "got NaN; right would be a number above 0"),
        ("deadline_seconds: .inf", "got Infinity; right would be a number above 0"),
        ("deadline_seconds: -.inf", "got -Infinity; right"),
        ("deadline_seconds: 1e999", "got Infinity; right"),
        ("deadline_seconds: '5'", 'got "5"; right would be a number'),
        ("tournament: 41", "tournament (line 3): got 41; right would be at most the population"),
        ("mutations: 3", "mutations (line 3): got 3; right would be a group with insert"),
        ("mutations:\n  insert: -1", "mutations.insert (line 4): got -1; right would be a number"),
        ("mutations: {insert: 0, delete: 0, modify: 0, constants: 0}", "at least one weight"),
        ("limits: {statements: 0}", "limits.statements (line 3): got 0; right"),
        ("start: mine.yaml", 'start (line 3): got "mine.yaml"; right would be one of adamw, lion'),
        ("start: adam", 'start (line 3): got "adam"; right would be one of adamw, lion'),
        ("start: adam", "did you mean 'adamw'?"),
        ("compare:\n- lion\n- lyon", 'compare[1] (line 5): got "lyon"; right would be one of'),
        ("compare: [lion, lion]", "right would be every name once"),
        ("compare: [3]", "compare[0] (line 3): got 3; right would be a list"),
        ("populaton: 3", 'populaton (line 3): there is no such setting; right would be one of'),
        ("populaton: 3", "did you mean 'population'?"),
        ("candidates: 3", "there is no such setting; did you mean budget.candidates?"),
        ("limits: {statement: 3}", 'limits.statement (line 3): there is no such setting'),
        ("3: 4", "3 (line 3): there is no such setting"),
        ("[a]: 4", "line 3: got a list or a group"),
        ("<<: {population: 3}", "<< (line 3): there is no such setting"),
        ("window: 3\nwindow: 4", "window (line 4): got it again, after window (line 3)"),
        ("window: 3\n'window': 3", "window (line 4): got it again"),
    ],
)  # fmt: skip
def test_each_wrong_setting_is_said_with_its_place(load, setting, said):
    assert said in refusal(load, GOOD + setting + "\n")


def test_what_must_be_given():
    with pytest.raises(pydantic.ValidationError):
        Config(tasks=())  # type: ignore


def test_the_path_of_a_suite_file_is_taken_among_tasks(load):
    assert load("tasks: mine.yaml\nbudget: {trained: 1}").tasks == ("mine.yaml",)
    assert load("tasks: [smoke, a/b.yml]\nbudget: {trained: 1}").tasks == ("smoke", "a/b.yml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budget: {trained: 1}", "tasks: got nothing; right would be the name or YAML file of a suite"),
        ("tasks: smoke", "budget: got nothing; right would be a group with"),
        ("tasks: smoke\nbudget: {}", "budget (line 2): got {}; right would be at least one of"),
        ("tasks: smoke\nbudget: {seconds: null}", "right would be at least one of candidates"),
        ("tasks: smok\nbudget: {trained: 1}", 'tasks (line 1): got "smok"; right would be one of'),
        ("tasks: []\nbudget: {trained: 1}", "tasks (line 1): got []; right would be at least"),
    ],
)
def test_missing_settings(load, text, said):
    assert said in refusal(load, text)


def test_everything_wrong_is_said_at_once(load):
    text = "tasks: smok\nbudget: {}\npopulation: 5\ntournament: 6\nwindow: x\nwindow: 3\nwat: 1\n"
    with pytest.raises(UsageError) as caught:
        load(text, "finalists=0", "limits.statements=1e2", "nonsense", "start=[a", "rng_seed=1")
    problems = caught.value.problems
    assert len(problems) == 10
    assert str(caught.value).startswith("10 settings are wrong in ")
    places = [problem.split(": ")[0] for problem in problems]
    assert set(places) == {
        "tasks (line 1)", "budget (line 2)", "tournament (line 4)", "window (line 5)",
        "window (line 6)", "wat (line 7)", "--set finalists", "--set limits.statements",
        '--set "nonsense"', "--set start (line 1)",
    }  # fmt: skip


def test_overrides(load):
    config = load(
        GOOD,
        "population=50",
        "population=60",
        "mutations.insert=2.0",
        "budget.candidates=100",
        "compare=[lion]",
        "budget.seconds=1e3",
    )
    assert config.population == 60
    assert config.mutations.insert == 2.0
    assert config.mutations.delete == 1.0
    assert config.budget == Budget(candidates=100, seconds=1000.0)
    assert config.compare == ("lion",)
    assert load(GOOD, "budget={seconds: 3}").budget == Budget(seconds=3.0)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("population", "right would be name=value"),
        ("=3", "right would be name=value"),
        ("budget.=3", "right would be name=value"),
        (".".join("x" * 20) + "=3", "right would be name=value"),
        ("population=many", '--set population: got "many"'),
        ("population=", "--set population: got nothing"),
        ("populaton=3", '--set populaton: there is no such setting'),
        ("population.x=3", '--set population: got {"x": 3}'),
        ("budget={candidates: 0}", "--set budget.candidates: got 0"),
        ("tasks=smok", '--set tasks: got "smok"'),
        ("compare=[lion, lyon]", '--set compare[1]: got "lyon"'),
        ("start=*a", "--set start (line 1): aliases and anchors"),
    ],
)  # fmt: skip
def test_wrong_overrides(load, override, said):
    assert said in refusal(load, GOOD, override)


def test_an_override_mends_a_wrong_setting(load):
    assert load(GOOD + "population: many\n", "population=7").population == 7


def test_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source, said in [
        ("smok", "did you mean 'smoke'?"),
        ("", "is neither a config file nor a preset"),
        (
            "no/such/file.yaml",
            "is neither a config file nor a preset; right would be one of first, paper-mini, smoke, or the path",
        ),
        (str(tmp_path), "Is a directory"),
        ("x\0y", "is neither a config file nor a preset"),
    ]:
        with pytest.raises(UsageError) as caught:
            configs.load_config(source)
        assert said in str(caught.value)
    (tmp_path / "smoke").mkdir()
    assert configs.config_text("smoke").startswith("# A search small enough")
    (tmp_path / "first").write_text(GOOD)
    assert configs.config_text("first") == GOOD


def test_difference():
    old = Config(tasks=("a",), budget=Budget(candidates=1))
    new = old.model_copy(
        update={
            "population": 50,
            "budget": Budget(trained=3),
            "limits": ProgramLimits(statements=9),
        }
    )
    assert configs.difference(old, old) == []
    assert configs.difference(old, new) == [
        "budget.candidates: 1, now nothing",
        "budget.trained: nothing, now 3",
        "population: 40, now 50",
        "limits.statements: 40, now 9",
    ]
    assert configs.difference(old, new, ignoring=FREE_TO_CHANGE) == [
        "population: 40, now 50",
        "limits.statements: 40, now 9",
    ]
    assert set(Config.model_fields) >= FREE_TO_CHANGE


SETTINGS = [(group, name) for group in (Config, Budget, ProgramLimits, Mutations) for name in group.model_fields]


@pytest.mark.parametrize(("group", "name"), SETTINGS)
def test_each_setting_says_its_range(group, name):
    setting = group.model_fields[name]
    assert setting.description
    for bound in ("ge", "le", "gt", "min_length", "max_length"):
        for meta in setting.metadata:
            limit = getattr(meta, bound, None)
            if limit is not None and limit < 10**12:
                assert str(limit) in setting.description


weights = st.floats(0, 1e6, allow_nan=False)
names = st.text(min_size=1, max_size=20).filter(lambda name: "\0" not in name)
seconds = st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False)


@st.composite
def settings(draw):
    population = draw(st.integers(2, 100_000))
    return Config(
        tasks=tuple(draw(st.lists(names, min_size=1, max_size=5, unique=True))),
        compare=tuple(draw(st.lists(names, max_size=5, unique=True))),
        start=draw(names),
        budget=Budget(
            candidates=draw(st.none() | st.integers(1, 10**12)),
            trained=draw(st.integers(1, 10**12)),
            seconds=draw(st.none() | seconds),
        ),
        rng_seed=draw(st.integers(0, 200_000)),
        population=population,
        tournament=draw(st.integers(1, population)),
        mutations=Mutations(insert=draw(weights), delete=draw(weights), modify=1.0),
        limits=ProgramLimits(statements=draw(st.integers(1, 256))),
        deadline_seconds=draw(seconds),
    )


@given(settings())
def test_yaml_round_trip(tmp_path_factory, config):
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    path.write_text(configs.to_yaml(config), encoding="utf-8")
    assert configs.load_config(str(path)) == config


@pytest.mark.parametrize("name", ["1e3", "on", "null", "~", "12", ".inf", "-", "a: b", "a #b", "=", ""])
def test_names_that_look_like_something_else_survive(tmp_path, name):
    config = Config(tasks=(name,), budget=Budget(seconds=math.pi))
    (tmp_path / "c.yaml").write_text(configs.to_yaml(config))
    assert configs.load_config(str(tmp_path / "c.yaml")) == config


@given(st.text(alphabet="abc:[]{}&*!|>'\"%@`#,?-.0123456789 \n\t~<=", max_size=60))
def test_any_text_gives_a_config_or_a_usage_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)
    with pytest.raises(UserError):
        configs.load_config(str(path), (text, f"population={text}"))


ROUNDS = "tasks: smoke\nbudget: {candidates: 10}\nrounds: "


def test_rounds(load):
    config = load(ROUNDS + "[{islands: 5, candidates: 100, migrate_every: 10}, {start: best}]\n")
    first, second = config.rounds
    assert (first.islands, first.start, first.candidates, first.migrate_every) == (5, "initial", 100, 10)
    assert (second.islands, second.start, second.candidates, second.migrate_every) == (1, "best", None, None)
    assert load("tasks: smoke\nbudget: {candidates: 10}\n").rounds == (Round(),)


@pytest.mark.parametrize(
    ("rounds", "told"),
    [
        ("[]", "right would be one round or more"),
        ("[{islands: 2}, {islands: 3}]", "all but the last with candidates"),
        ("[{start: best}]", "the first with start: initial"),
        ("[{island: 2}]", "rounds[0].island (line 3): there is no such setting"),
        ("[{islands: 0}]", "rounds[0].islands (line 3): got 0; right would be a whole number from 1"),
        ("[{migrate_every: 3}]", "a single island has no other to exchange with"),
        ("3", "right would be a list of 1 to 100 groups"),
        ("[3]", "rounds[0] (line 3): got 3"),
    ],
)
def test_rounds_that_are_none(load, rounds, told):
    assert told in refusal(load, ROUNDS + rounds)
