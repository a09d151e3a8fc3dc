"""Cluster files are valid for Ray, Kubernetes and Slurm, and closed; a driver that joins a cluster sends its code."""

import ast
import copy
import os
import re
import signal
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from cluster_cases import ROOT, act_slurm, acted_machines
from packaging.requirements import Requirement
from ray_private_cases import checked_cluster

from workers import devices, ray_connection

CLUSTERS = ROOT / "workers" / "clusters"
RAY_UP = sorted(CLUSTERS.glob("ray-up*.yaml"))
KUBERAY = CLUSTERS / "kuberay.yaml"
SLURM = CLUSTERS / "slurm.sh"
PAGE = ROOT / "workers" / "CLUSTERS.md"


def started(path):
    """Return the commands of a file that start Ray, one per line."""
    joined = re.sub(r"\\\n\s*", " ", path.read_text())
    if path.suffix == ".yaml":
        config = yaml.safe_load(joined)
        joined = "\n".join(config["head_start_ray_commands"] + config["worker_start_ray_commands"])
    return [line for line in joined.splitlines() if "ray start " in line]


@pytest.mark.parametrize("chosen", [None, "a folder/token"])
def test_the_page_makes_a_token_that_ray_reads_and_keeps_one_that_exists(chosen, tmp_path):
    script = next(block for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if "secrets" in block)
    variables = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "RAY_AUTH_MODE": "token"}
    if chosen:
        variables["RAY_AUTH_TOKEN_PATH"] = str(tmp_path / chosen)
    token = tmp_path / (chosen or ".ray/auth_token")
    assert subprocess.run(["bash", "-c", script], env=variables).returncode == 0
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    made = token.read_text()
    assert re.fullmatch("[0-9a-f]{64}", made)
    read = "from workers import ray_private; print(ray_private.has_token())"
    done = subprocess.run([sys.executable, "-c", read], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
    assert subprocess.run(["bash", "-c", script], env=variables, stderr=subprocess.DEVNULL).returncode != 0
    assert token.read_text() == made


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.name)
def test_ray_takes_its_cluster_files(path):
    config = yaml.safe_load(path.read_text())
    prepared = checked_cluster(copy.deepcopy(config))
    assert prepared["head_start_ray_commands"] == config["head_start_ray_commands"]
    types = prepared["available_node_types"].values()
    assert all(each["min_workers"] == each["max_workers"] for each in types if each.get("max_workers"))


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.name)
def test_clusters_of_ray_up_are_closed(path):
    config = yaml.safe_load(path.read_text())
    commands = started(path)
    assert len(commands) == 2
    assert all("RAY_AUTH_MODE=token " in command for command in commands)
    assert all("--disable-usage-stats" in command for command in commands)
    assert "--dashboard-host=127.0.0.1 " in commands[0]
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in config["setup_commands"][0]


@pytest.mark.parametrize("path", [*RAY_UP, SLURM], ids=lambda path: path.name)
def test_ray_start_takes_each_option(path):
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    for command in started(path):
        options = set(re.findall(r"(--[a-z-]+)", command.partition("ray start ")[2]))
        assert options
        assert options <= known


def test_no_runs_and_no_history_travel_by_ray_up():
    for path in RAY_UP:
        assert {"runs/", ".git/", ".venv/", "tests/"} <= set(yaml.safe_load(path.read_text())["rsync_exclude"])


def test_the_manifest_for_kubernetes_has_its_shape_and_is_closed():
    import ray
    from ray.scripts.scripts import start

    claim, policy, cluster = yaml.safe_load_all(KUBERAY.read_text())
    kinds = [(part["apiVersion"], part["kind"]) for part in (claim, policy, cluster)]
    assert kinds == [
        ("v1", "PersistentVolumeClaim"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("ray.io/v1", "RayCluster"),
    ]
    spec, name = cluster["spec"], cluster["metadata"]["name"]
    assert spec["rayVersion"] == ray.__version__
    assert spec["authOptions"] == {"mode": "token"}
    chosen = {"matchLabels": {"ray.io/cluster": name}}
    assert policy["spec"]["podSelector"] == chosen
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": chosen}]}]
    head, groups = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert head["rayStartParams"]["dashboard-host"] == "127.0.0.1"
    known = {option for parameter in start.params for option in parameter.opts}
    for group in (head, *groups):
        assert {f"--{option}" for option in group["rayStartParams"]} <= known
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert container["securityContext"] == {"allowPrivilegeEscalation": False}
    assert all(group["minReplicas"] == group["replicas"] == group["maxReplicas"] for group in groups)
    (volume,) = head["template"]["spec"]["volumes"]
    (mount,) = head["template"]["spec"]["containers"][0]["volumeMounts"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert volume["name"] == mount["name"]
    runs = {"name": "PRIDE_RUNS", "value": mount["mountPath"]}
    assert runs in head["template"]["spec"]["containers"][0]["env"]


def test_bash_takes_the_script_for_slurm_and_what_it_holds_for_others():
    text = SLURM.read_text()
    subprocess.run(["bash", "-n", SLURM], check=True)
    node = re.findall(r"\nnode='(.*?)'\n", text, re.DOTALL)[0]
    subprocess.run(["bash", "-n", "-c", node], check=True)
    ast.parse(re.findall(r"<<'PYTHON'\n(.*?)\nPYTHON\n", text, re.DOTALL)[0])
    assert os.access(SLURM, os.X_OK)


@pytest.mark.parametrize(("extra", "jax_extra"), [("cuda", "cuda"), ("tpu", "tpu")])
def test_extras_are_those_that_jax_has(extra, jax_extra):
    from importlib.metadata import metadata

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (requirement,) = map(Requirement, project["optional-dependencies"][extra])
    assert (requirement.name, requirement.extras) == ("jax", {jax_extra})
    assert jax_extra in metadata("jax").get_all("Provides-Extra")
    ray = Requirement(project["optional-dependencies"]["cluster"][0])
    assert (ray.name, ray.extras) == ("ray", {"default"})


def test_the_page_names_files_that_are_there():
    page = PAGE.read_text()
    named = set(re.findall(r"workers/clusters/[a-z.-]+[a-z]", page))
    assert named == {str(path.relative_to(ROOT)) for path in CLUSTERS.iterdir()}


@pytest.mark.parametrize(
    ("resources", "name"),
    [
        ({"CPU": 4.0}, "cpu"),
        ({"CPU": 4.0, "GPU": 2.0}, "gpu"),
        ({"CPU": 4.0, "TPU": 4.0}, "tpu"),
        ({"CPU": 4.0, "TPU": 4.0, "GPU": 1.0}, "gpu"),
        ({"CPU": 4.0, "GPU": 0.0}, "cpu"),
        ({"CPU": 4.0, "accelerator_type:H100": 1.0}, "cpu"),
        ({}, "cpu"),
    ],
)
def test_the_best_device_of_a_cluster_is_taken(resources, name):
    assert devices.device_of(resources).name == name


def test_a_worker_asks_for_one_accelerator():
    import ray

    for device in devices.DEVICES:
        ray.remote(num_cpus=1, max_restarts=0, **device.request)(SimpleNamespace)
    assert devices.GPU.request == {"num_gpus": 1}
    assert devices.TPU.request == {"resources": {"TPU": 1}}


def test_ray_started_here_has_no_accelerators_that_jax_cannot_use(monkeypatch):
    monkeypatch.setattr(ray_connection, "jax_uses_gpus", lambda: False)
    monkeypatch.setattr(ray_connection, "jax_uses_tpus", lambda: False)
    assert ray_connection._accelerators_without_jax() == {"num_gpus": 0, "resources": {"TPU": 0}}
    monkeypatch.setattr(ray_connection, "jax_uses_gpus", lambda: True)
    monkeypatch.setattr(ray_connection, "jax_uses_tpus", lambda: True)
    assert ray_connection._accelerators_without_jax() == {}


def slurm_job(environment, *arguments):
    command = ["bash", SLURM, *arguments, "--json"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_slurm_brings_up_a_closed_cluster_and_leaves_nothing_and_a_job_that_ran_out_of_time_is_resumed(tmp_path):
    environment = act_slurm(tmp_path, nodes=2)
    settings = ["--set", "budget.candidates=1000", "--set", "rng_seeds=1", "--set", "fresh_rng_seeds=2"]
    with slurm_job(environment, "search", "smoke", "--name", "small", *settings) as job:
        assert job.stderr
        assert job.stderr.readline() == "2 of 2 nodes are up\n"
        tokens = list(tmp_path.glob(".pride-token-*"))
        assert [stat.S_IMODE(token.stat().st_mode) for token in tokens] == [0o600]
        said = next(line for line in job.stderr if " generated" in line or "rror" in line)
        job.send_signal(signal.SIGTERM)
        out, rest = job.communicate()
    assert job.returncode == 128 + signal.SIGTERM, said + rest
    assert '"reason": "Terminated"' in out
    assert "finishing what is under way" in rest
    assert "asks for no token" not in rest
    with slurm_job(environment, "resume", "small", "--set", "budget.candidates=40") as job:
        out, rest = job.communicate()
    assert job.returncode == 0, rest
    assert '"reason": "40 candidates were put forward"' in out
    assert list(tmp_path.glob(".pride-token-*")) == []
    assert list(Path("/tmp").glob(f"pride-ray-{environment['SLURM_JOB_ID']}-*")) == []


@pytest.mark.slow
def test_ray_up_starts_ray_on_all_machines_and_ray_down_ends_the_head():
    with acted_machines(3) as machines:
        head, *workers = machines.homes
        names = dict(zip(["HEAD_ADDRESS", "WORKER1_ADDRESS", "WORKER2_ADDRESS"], machines.homes, strict=True))
        text = (CLUSTERS / "ray-up.yaml").read_text()
        text = re.sub("|".join(names), lambda found: names[found[0]], text)
        (machines.clone / "ray-up.yaml").write_text(text)

        machines.command("ray", "up", "--yes", "ray-up.yaml")
        end_s = time.monotonic() + 120
        while machines.with_ray() != [head, *workers] and time.monotonic() < end_s:
            time.sleep(0.2)
        assert machines.with_ray() == [head, *workers]
        for home in machines.homes.values():
            assert (home / "pride" / "ray-up.yaml").read_text() == text
            installed = f"install --quiet --constraint {home}/pride/constraints.txt {home}/pride[cluster]\n"
            assert (home / "pip.log").read_text() == installed
            token = home / ".ray" / "auth_token"
            assert token.read_text() == Path(machines.environment["HOME"], ".ray", "auth_token").read_text()
            assert [stat.S_IMODE(path.stat().st_mode) for path in (token, token.parent)] == [0o600, 0o700]

        machines.command("ray", "down", "--yes", "ray-up.yaml")
        assert machines.with_ray() == workers
        for worker in workers:
            machines.stop(worker)
        assert machines.with_ray() == []
