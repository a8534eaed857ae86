"""What is installed and run on machines of others: named to the last byte, allowed no more than it needs."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# What a job may do beside reading the code.
MORE = {
    ("publish", "deploy"): {"pages": "write", "id-token": "write"},
    ("publish", "notebooks"): {"contents": "write"},
    ("release", "package"): {"id-token": "write"},
    ("release", "attach"): {"contents": "write"},
}


def tracked(pattern):
    """Return the files of the project that match, as git knows them."""
    listed = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True)
    return listed.stdout.split()


def test_git_knows_what_is_pinned():
    pinned = {"", "assignments/", "benchmarks/", "slides/", "tests/frameworks/", "tests/tools/"}
    assert set(tracked("*requirements.txt")) == {f"{where}requirements.txt" for where in pinned}


@pytest.mark.parametrize("pins", tracked("*requirements.txt"))
def test_every_pin_is_one_version_with_its_hashes(pins):
    text = (ROOT / pins).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.match(r"[A-Za-z0-9._-]+(\[\w+\])?==[\w.+!]+ ", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line), line


def test_whatever_is_installed_is_pinned_by_its_hashes():
    """Or is this package itself, without what it needs and without fetching what builds it."""
    found = []
    for name in ("Makefile", "postBuild", ".ci/run", *tracked(".github/workflows/*")):
        for line in (ROOT / name).read_text().splitlines():
            if re.search(r"\bpip install\b", line) and not line.lstrip().startswith("#"):
                found.append(name)
                itself = "--no-deps" in line and "--no-build-isolation" in line
                itself = itself and re.search(r" (-e )?(\.|dist/package/\*\.whl)$", line)
                assert itself or "--require-hashes" in line, line
    assert {"Makefile", "postBuild"} <= set(found)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_named_commits_of_actions_and_may_only_read(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job.get("permissions", {}) == MORE.get((path.stem, name), {})
        if "uses" in job:  # another workflow of this project, which is looked at too
            assert ROOT / job["uses"] in WORKFLOWS and job.keys() == {"uses"}
            continue
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            # What someone else may have written, such as a branch's name, is not pasted into a command.
            assert "github." not in step.get("run", "")


def workflow(name):
    """Return a workflow's content; YAML reads its key ``on`` as the word for true."""
    content = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
    return {"on" if key is True else key: value for key, value in content.items()}


def test_a_commit_is_published_only_after_its_own_tests():
    publish, test = workflow("publish"), workflow("test")
    assert set(publish["on"]) == {"push", "workflow_dispatch"}
    jobs, name = publish["jobs"], "deploy"
    before = []
    while name := jobs[name].get("needs"):
        before.append(name)
    assert before == ["build", "test"]
    assert (
        jobs["test"] == {"uses": "./.github/workflows/test.yml"} and "workflow_call" in test["on"]
    )
    assert not any("if" in job for job in jobs.values())


def test_a_release_is_published_only_after_its_tests_and_its_own_trial():
    release = workflow("release")
    assert release["on"] == {"push": {"tags": ["v*"]}}
    jobs, name = release["jobs"], "attach"
    before = []
    while name := jobs[name].get("needs"):
        before.append(name)
    assert before == ["package", "build", "test"]
    assert jobs["test"] == {"uses": "./.github/workflows/test.yml"}
    assert not any("if" in job for job in jobs.values())


def test_every_change_is_tested_and_only_an_outdated_run_is_stopped():
    """Commits of the main branch come through publish, each in a group of its own."""
    assert set(workflow("test")["on"]) == {"pull_request", "workflow_call"}
    assert workflow("publish")["on"]["push"] == {"branches": ["main"]}
    group = workflow("test")["concurrency"]["group"]
    assert group == "test-${{ github.event.pull_request.number || github.sha }}"
