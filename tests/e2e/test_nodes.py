"""Two nodes, each with an agent of torchrun of its own on this machine: one disk, a disk each, and what is refused."""

import csv
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from support.networks import two_machines
from support.tiny_data import write_config, write_studies
from support.torchrun import ONE_NODE, finish, free_port, node, ranks_of, rows, running_until, start

pytestmark = pytest.mark.slow

SHORT = ("train.steps=12", "train.warmup_steps=2", "train.checkpoint_every=4")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(config: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Rows of two ranks on one node."""
    out = tmp_path_factory.mktemp("one") / "run"
    ((status, output),) = finish(start(ONE_NODE, config, out, *SHORT))
    assert status == 0, output
    return rows(out)


def on_two_nodes(config: Path, outs: tuple[Path, Path], *options: tuple[str, ...]) -> list[tuple[int, str]]:
    """Exit status and output of either node; the options of the second may differ."""
    port, each = free_port(), options * 2 if len(options) == 1 else options
    return finish(*(start(node(port, n), config, outs[n], *each[n]) for n in (0, 1)))


def refusals(ended: list[tuple[int, str]]) -> list[str]:
    """The one line that each node's rank ends with; torchrun adds its own after it."""
    lines: list[str] = []
    for status, output in ended:
        assert status == 1, output
        ours = output.partition("ChildFailedError")[0].partition("torch/distributed/elastic")[0]
        assert "Traceback" not in ours, output
        lines += [line for line in ours.splitlines() if line.startswith("simcrop: ") and "; " in line]
    return lines


def test_nodes_that_share_a_disk_train_as_one(config: Path, undisturbed: list[dict[str, Any]], tmp_path: Path) -> None:
    prepared = f"data.prepared={tmp_path / 'prepared'}"
    ended = on_two_nodes(config, (tmp_path / "run",) * 2, (*SHORT, prepared))
    assert [status for status, _ in ended] == [0, 0], ended
    assert rows(tmp_path / "run") == undisturbed
    made = [int(output.partition("simcrop: preparing ")[2].split()[0]) for _, output in ended[:1]]
    assert 0 < made[0] < 8, "each node prepares its part"
    assert not list((tmp_path / "prepared").glob(".simcrop.shared*"))


def test_nodes_with_a_disk_each_train_and_go_on_as_one(
    config: Path, undisturbed: list[dict[str, Any]], tmp_path: Path
) -> None:
    outs = (tmp_path / "a" / "run", tmp_path / "b" / "run")
    apart = [(*SHORT, f"data.prepared={out.parent / 'prepared'}") for out in outs]
    ended = on_two_nodes(config, outs, *apart)
    assert [status for status, _ in ended] == [0, 0], ended
    assert rows(outs[0]) == undisturbed
    assert not (outs[1] / "checkpoints").exists()
    assert all(len(list(out.parent.glob("prepared/*/*.npy"))) == 8 for out in outs), "each node prepares for itself"
    shutil.rmtree(outs[0] / "checkpoints" / "step_00000012")
    ended = on_two_nodes(config, outs, *apart)
    assert [status for status, _ in ended] == [0, 0], ended
    assert f"continuing from {outs[0] / 'checkpoints' / 'step_00000008'}" in ended[0][1]
    assert rows(outs[0]) == undisturbed
    assert not (outs[1] / "metrics.jsonl").exists()
    assert not (outs[1] / ".received").exists()


def test_a_rank_that_is_killed_on_one_node_costs_no_hand_work_on_the_other(
    config: Path, undisturbed: list[dict[str, Any]], tmp_path: Path
) -> None:
    out, port = tmp_path / "run", free_port()
    agents = [start(node(port, n, "--max-restarts", "3"), config, out, *SHORT) for n in (0, 1)]
    with running_until(lambda: len(rows(out)) >= 5, *agents, ends=False):
        (killed,) = ranks_of(agents[1]).values()
        os.kill(killed, signal.SIGKILL)
    ended = finish(*agents)
    assert [status for status, _ in ended] == [0, 0], ended
    assert rows(out) == undisturbed


@pytest.mark.parametrize("is_shared", [True, False])
def test_two_machines_on_a_network_train_as_one(
    config: Path, undisturbed: list[dict[str, Any]], tmp_path: Path, is_shared: bool
) -> None:
    outs = [tmp_path / ("a" if is_shared else name) / "run" for name in "ab"]
    with two_machines() as machines:
        launchers = [
            (*machine.shell, *node(29400, n, "--local-addr", machine.address, address=machines[0].address))
            for n, machine in enumerate(machines)
        ]
        ended = finish(
            *(
                start(
                    launcher,
                    config,
                    out,
                    *SHORT,
                    f"data.prepared={out.parent / 'prepared'}",
                    GLOO_SOCKET_IFNAME=machine.interface,
                )
                for launcher, out, machine in zip(launchers, outs, machines, strict=True)
            )
        )
    assert [status for status, _ in ended] == [0, 0], ended
    assert rows(outs[0]) == undisturbed
    prepared = [len(list(out.parent.glob("prepared/*/*.npy"))) for out in outs]
    assert prepared == [8, 8]


def test_another_configuration_on_a_node_is_refused_before_anything_is_done(config: Path, tmp_path: Path) -> None:
    ended = on_two_nodes(config, (tmp_path / "a", tmp_path / "b"), SHORT, (*SHORT, "train.lr=0.002"))
    told = "simcrop: train.lr: 0.001 on rank 0, 0.002 on rank 1; start every rank with the same version"
    assert [line.startswith(told) for line in refusals(ended)] == [True, True], ended
    assert not any("preparing" in output for _, output in ended)


def test_other_data_on_a_node_are_refused(config: Path, tmp_path: Path) -> None:
    other = write_studies(tmp_path / "studies")
    with other.open(newline="") as file:
        table = list(csv.DictReader(file))
    table[0]["findings"] += " The aorta is wide."
    with other.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    apart = (*SHORT, f"data.manifest={other}", f"data.prepared={tmp_path / 'prepared'}")
    ended = on_two_nodes(config, (tmp_path / "a", tmp_path / "b"), SHORT, apart)
    told = refusals(ended)
    assert [line.startswith("simcrop: data, fingerprint of the studies") for line in told] == [True, True], ended
    assert told[0] == told[1]
    assert told[0].endswith("; give every node the same tables and volumes")
    assert rows(tmp_path / "a") == []
