"""A release is refused unless all that names its version agrees."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def release():
    spec = spec_from_file_location("release", ROOT / ".ci/release.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def root(tmp_path):
    """Return a project that is ready to be released as 1.2.0."""
    (tmp_path / "fpnotes").mkdir()
    (tmp_path / "fpnotes/__init__.py").write_text('"""Words."""\n\n__version__ = "1.2.0"\n')
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [1.2.0] - 2027-01-31\n\n- New.\n\n## [1.1.0] - 2026-12-01\n\n- Old.\n"
    )
    return tmp_path


def test_a_release_has_the_notes_of_its_version_alone(release, root):
    assert release.check_version("v1.2.0", root) == ("1.2.0", "- New.")


@pytest.mark.parametrize("tag", ["", "1.2.0", "v1.2", "v1.2.1"])
def test_another_tag_is_refused(tag, release, root):
    with pytest.raises(SystemExit, match="the tag must be v1.2.0"):
        release.check_version(tag, root)


@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        (
            "CITATION.cff",
            "\nversion: 1.2.0",
            "\nversion: 1.1.0",
            "CITATION.cff must have version 1.2.0",
        ),
        ("CHANGELOG.md", "[1.2.0] - 2027-01-31", "[Unreleased] 1.2.0", "CHANGELOG.md must have"),
        ("CHANGELOG.md", "[1.2.0] - 2027-01-31", "[1.2.0]", "CHANGELOG.md must have"),
    ],
)
def test_what_disagrees_is_named(name, before, after, message, release, root):
    text = (root / name).read_text()
    (root / name).write_text(text.replace(before, after))
    with pytest.raises(SystemExit, match=message):
        release.check_version("v1.2.0", root)
