"""Programs that the machine does not have: built or fetched once, and told of if that cannot be.

Go and apt-get are scripts that say and leave behind what the real ones would.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stack import cache, debian, golang
from stack.errors import MissingError

ROOT = Path(__file__).resolve().parents[2]

GO = """\
#!/bin/sh
if [ "$1" = version ]; then echo go version go9.9.9 linux/amd64; exit 0; fi
for last; do :; done
echo "$last" >>"$BUILT"
while [ "$1" != -o ]; do shift; done
sleep 0.3
echo '#!/bin/sh' >"$2"; chmod +x "$2"
"""
OLD = """\
#!/bin/sh
echo 'go: go.mod requires go >= 1.26.5 (running go 1.21.1; GOTOOLCHAIN=local)' >&2
exit 1
"""
BROKEN = """\
#!/bin/sh
[ "$1" = version ] && exit 0
echo 'go: module not found' >&2
exit 1
"""

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what puts a script on PATH, where there is nothing else but what scripts need."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "sleep", "chmod", "nice", "mkdir", "touch", "cat"):
        found = next(p for p in ("/usr/bin", "/bin") if Path(p, name).exists())
        (folder / name).symlink_to(Path(found, name))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("BUILT", str(tmp_path / "built"))

    def put(name: str, text: str) -> None:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    return put


def test_a_program_is_built_once_though_two_ask_at_once(install: Install, tmp_path: Path) -> None:
    """Both get it, one after the other, and a third time nothing is built."""
    install("go", GO)
    command = [sys.executable, "-m", "stack", "build"]
    both = [
        subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for one in both:
        said, _ = one.communicate(timeout=60)
        assert one.returncode == 0
        assert str(golang.loki().path).encode() in said
    assert sorted((tmp_path / "built").read_text().split()) == sorted(
        program.package for program in (golang.jaeger(), golang.loki())
    )
    words: list[str] = []
    assert golang.built(golang.loki(), words.append).exists()
    assert words == []


def test_the_versions_are_those_of_go_mod(install: Install) -> None:
    """They are pinned there and nowhere else; the file has the version in its name."""
    install("go", GO)
    assert golang.loki().path.name == "loki-3.7.8"
    assert golang.jaeger().path.name == "jaeger-1.62.0"
    assert golang.loki().go == "1.26.5"


@pytest.mark.parametrize(
    ("go", "told"),
    [
        (None, "needs Go 1.26.5 or newer, which is not on PATH either"),
        (OLD, "requires go >= 1.26.5 (running go 1.21.1"),
        (BROKEN, "building loki failed: go: module not found (all of it in "),
    ],
    ids=["no Go", "an old Go", "a failing build"],
)
def test_what_cannot_be_built_is_told_in_one_line(
    install: Install, go: str | None, told: str
) -> None:
    """And nothing stands where the program would, not even half of it."""
    if go is not None:
        install("go", go)
    with pytest.raises(MissingError) as caught:
        golang.built(golang.loki(), lambda _words: None)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    folder = golang.loki().path.parent
    left = {path.name for path in folder.iterdir()} if folder.exists() else set()
    assert left <= {".loki-3.7.8.lock"}


def test_what_somebody_killed_left_half_made_is_removed(install: Install) -> None:
    """The next one who makes it takes away what is left, since it has the lock."""
    install("go", GO)
    folder = golang.jaeger().path.parent
    left = folder / ".jaeger-1.62.0.making-1234"
    left.mkdir(parents=True)
    golang.built(golang.jaeger(), lambda _words: None)
    assert not left.exists()


APT = """\
#!/bin/sh
case "$*" in
  *Dir::State::Lists*download*) touch prometheus_2.42_amd64.deb;;
  *Dir::State::Lists*update*) ;;
  *) echo 'E: Unable to locate package prometheus' >&2; exit 100;;
esac
"""
DPKG = """\
#!/bin/sh
mkdir -p "$3/usr/bin"
echo '#!/bin/sh' >"$3/usr/bin/prometheus"
"""


def test_a_package_is_unpacked_with_lists_of_our_own_where_there_are_none(
    install: Install,
) -> None:
    """A fresh machine has no lists of packages, and only root may fetch those of the machine."""
    install("apt-get", APT)
    install("dpkg-deb", DPKG)
    words: list[str] = []
    found = debian.unpacked("prometheus", "prometheus", words.append)
    assert found == cache.cache() / "debian" / "prometheus" / "usr" / "bin" / "prometheus"
    assert found.is_file()
    assert debian.unpacked("prometheus", "prometheus", words.append) == found
    assert len(words) == 1
    with pytest.raises(MissingError, match="has no promtool"):
        debian.unpacked("prometheus", "promtool", words.append)


def test_a_package_that_cannot_be_had_is_told_with_apts_own_words(install: Install) -> None:
    """Without Debian, and without a network."""
    with pytest.raises(MissingError, match="there is no apt-get"):
        debian.unpacked("prometheus", "prometheus", lambda _words: None)
    install("apt-get", "#!/bin/sh\necho 'E: Temporary failure resolving' >&2\nexit 100\n")
    install("dpkg-deb", DPKG)
    with pytest.raises(MissingError, match=r"cannot be had: E: Temporary failure resolving$"):
        debian.unpacked("prometheus", "prometheus", lambda _words: None)
    assert not (cache.cache() / "debian" / "prometheus").exists()
