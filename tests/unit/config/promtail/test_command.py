"""`appliance import-promtail`: the old box's files in; configuration, manifests and report out."""

import subprocess
import sys
from pathlib import Path

import yaml

from appliance.config.load import parse
from appliance.sources.kubernetes.review import review

BOX = Path(__file__).parents[2] / "data" / "old-box"
COMMAND = [sys.executable, "-m", "appliance.cli.main", "import-promtail"]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=60)


def test_the_whole_box_becomes_a_configuration_manifests_and_a_report(tmp_path: Path) -> None:
    done = run(
        BOX / "promtail.yml", "--rsyslog", BOX / "rsyslog-promtail.conf", "--manifests", BOX / "kubernetes.yaml",
        "--address", "192.0.2.9", "-o", tmp_path / "a.yaml", "--manifests-output", tmp_path / "m.yaml",
        "--report", tmp_path / "report.txt",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert parse((tmp_path / "a.yaml").read_text()).config.listeners.udp is not None
    report = (tmp_path / "report.txt").read_text()
    for part in ("TAKEN OVER", "CHANGED MEANING", "NOT SUPPORTED (0)", "WRONG IN THE MANIFESTS (6)", "before  {"):
        assert part in report
    manifests = (tmp_path / "m.yaml").read_text()
    assert review(manifests, "m.yaml").faults == ()
    made = {one["kind"]: one for one in yaml.safe_load_all(manifests)}
    config = made["ConfigMap"]["data"]["config.alloy"]
    assert "https://192.0.2.9:3500/" in config and '"__meta_kubernetes_pod_label_(.+)"' in config
    assert 'action        = "labelmap"' in config and 'separator     = "/"' in config
    # What the user's Promtail made of pods, and no more.
    assert 'target_label  = "namespace"' in config and 'target_label  = "node"' not in config


def test_check_writes_nothing_and_says_all(tmp_path: Path) -> None:
    done = run(BOX / "promtail.yml", "--check", "-o", tmp_path / "a.yaml")
    assert done.returncode == 0 and "PORT 514 IS CLOSED" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("mine")
    done = run(BOX / "promtail.yml", "-o", tmp_path / "a.yaml")
    assert done.returncode == 2 and "already exists" in done.stderr
    assert (tmp_path / "a.yaml").read_text() == "mine"


def test_nothing_to_convert_and_a_bad_variable_are_said_in_a_sentence() -> None:
    for words, said in (((), "nothing to convert"), ((BOX / "promtail.yml", "--env", "x"), "not a variable"),
                        ((BOX / "rsyslog-promtail.conf",), "hint")):  # fmt: skip
        done = run(*words)
        assert done.returncode in (1, 2) and said in done.stderr and "Traceback" not in done.stderr
