"""Ranks tell each other what they know through the store that they have met by, in short calls: a wait may be long.

No collective is open meanwhile. Who waits looks whether the others live: each rank's thread counts on, as a sign of
life, and what ended one rank is read by all.
"""

import itertools
import json
import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import torch.distributed as dist

from simcrop.adapters.system.progress import duration
from simcrop.core.errors import RanksError

_log = logging.getLogger("simcrop")
GATHERING_SECONDS = 600.0
"""How long processes that are started together may take to get here."""
_BEAT_SECONDS = 1.0
_CALL_SECONDS = 30.0
"""For one call of the store, whose machine may be gone."""
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.5
_TOLD_SECONDS = 60.0
_FAREWELL_SECONDS = 20.0
_FAILURE = "failure"


def begin_attempt(
    store: dist.Store, rank: int, world_size: int, *, seconds: float = GATHERING_SECONDS, nonce: str | None = None
) -> dist.Store:
    """A part of the store that belongs to this attempt alone, as torchrun's restarts share one store.

    Rank 0 answers what each process says that is there now, so no rank finds the addresses of a dead one. The number of
    restarts in torchrun's environment is no name for an attempt: each node counts its own.

    Args:
        store: of all attempts.
        rank, world_size: of this process.
        seconds: to wait for the others.
        nonce: what this process calls itself; drawn by default.

    Raises:
        RanksError: others are not there in time; names them.
    """
    own = nonce or secrets.token_hex(8)
    store.set(f"here/{rank}", own)
    pauses = _pauses(seconds)
    if rank:
        while not store.check([f"attempt/{own}"]):
            if not next(pauses):
                raise _absent([0], seconds)
        name = store.get(f"attempt/{own}").decode()
        store.set(f"ready/{name}/{own}", "")
        return dist.PrefixStore(name, store)
    absent = list(range(1, world_size))
    while absent := [other for other in absent if not _is_ready(store, other, own)]:
        if not next(pauses):
            raise _absent(absent, seconds)
    return dist.PrefixStore(own, store)


def _is_ready(store: dist.Store, rank: int, attempt: str) -> bool:
    if not store.check([f"here/{rank}"]):
        return False
    process = store.get(f"here/{rank}").decode()
    store.set(f"attempt/{process}", attempt)
    return store.check([f"ready/{attempt}/{process}"])


def _absent(ranks: list[int], seconds: float) -> RanksError:
    names = ", ".join(map(str, ranks))
    return RanksError(
        f"rank {names}: not there after {duration(seconds)}; see that every node runs the same command, and that "
        f"MASTER_ADDR is reached from it"
    )


def _pauses(seconds: float) -> Iterator[bool]:
    """Sleep between two looks, longer and longer; False once the time is over."""
    end, pause = time.monotonic() + seconds, _SHORTEST_PAUSE_S
    while time.monotonic() < end:
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
        yield True
    yield False


class Meeting:
    """The ranks of one attempt.

    Args:
        store: of this attempt alone.
        rank, world_size: of this process.
        patience_s: how long a rank may give no sign of life.
        is_host: whether this process holds the store, so that it has to leave last.
    """

    def __init__(
        self, store: dist.Store, rank: int, world_size: int, *, patience_s: float, is_host: bool = False
    ) -> None:
        self.rank, self.world_size, self.patience_s = rank, world_size, patience_s
        # Clients of its own: the groups' calls may take longer than a call here, and a thread's must not queue.
        self._store, self._is_host = _another_client(store), is_host
        self._numbers = itertools.count()
        self._exchanges = 0
        self._beat_s = min(_BEAT_SECONDS, patience_s / 10)
        self._is_over = threading.Event()
        self._store.set_timeout(timedelta(seconds=_CALL_SECONDS))
        self._store.set(f"who/{rank}", f"rank {rank} (process {os.getpid()} on {platform.node()})")
        self._thread = threading.Thread(
            target=self._beat, args=(_another_client(store),), name="simcrop-ranks", daemon=True
        )
        self._thread.start()

    def gather(self, fact: str = "") -> list[str]:
        """What every rank says, in their order; waits as long as all of them live.

        Raises:
            RanksError: a rank has failed, or gives no sign of life.
        """
        number = next(self._numbers)
        self._store.set(f"fact/{number}/{self.rank}", fact)
        if self.rank == 0:
            facts = [self._await(f"fact/{number}/{other}", other) for other in range(self.world_size)]
            self._store.set(f"facts/{number}", json.dumps(facts))
            return facts
        return json.loads(self._await(f"facts/{number}", 0))

    def mark(self) -> None:
        """Tell that this rank begins one more exchange with the others."""
        self._exchanges += 1
        self._store.set(f"at/{self.rank}", str(self._exchanges))

    def fail(self, reason: str) -> None:
        """Tell all ranks what has ended this one; the first reason stays."""
        self._tell(f"{self._who(self.rank)} has ended: {reason}")

    def lost(self, reason: str) -> RanksError:
        """The error for an exchange that failed: it names the rank that failed first, or does not answer.

        Args:
            reason: what torch says of it.
        """
        try:
            if self._store.check([_FAILURE]):
                return RanksError(self._store.get(_FAILURE).decode())
            silent = self._silent() or self._behind()
            if self._store.check([_FAILURE]):
                return RanksError(self._store.get(_FAILURE).decode())
            names = ", ".join(map(self._who, silent)) or "a rank that cannot be told"
            message = f"{names} does not answer ({reason}); {self._remedy}"
            self._tell(message)
        except RuntimeError as error:
            return _no_store(error)
        return RanksError(message)

    def close(self) -> None:
        """Leave; who holds the store waits a little until the others have left."""
        self._is_over.set()
        self._thread.join(_CALL_SECONDS)
        try:
            left = self._store.add("left", 1)
            pauses = _pauses(_FAREWELL_SECONDS)
            while self._is_host and left < self.world_size and next(pauses):
                left = self._store.add("left", 0)
        except RuntimeError as error:
            _log.debug("the ranks' store is gone: %s", error)

    @property
    def _remedy(self) -> str:
        return (
            f"train.timeout_minutes is {self.patience_s / 60:g}; see what that rank says, then run the same command "
            f"again: it goes on from the last checkpoint"
        )

    def _who(self, rank: int) -> str:
        key = f"who/{rank}"
        return self._store.get(key).decode() if self._store.check([key]) else f"rank {rank}"

    def _tell(self, message: str) -> None:
        try:
            self._store.compare_set(_FAILURE, "", message)
        except RuntimeError as error:
            _log.debug("the ranks' store is gone: %s", error)

    def _await(self, key: str, other: int) -> str:
        """The value that another rank is going to set."""
        life, since = self._life(other), time.monotonic()
        told = since + _TOLD_SECONDS
        try:
            for _ in _pauses(float("inf")):
                if self._store.check([key]):
                    return self._store.get(key).decode()
                if self._store.check([_FAILURE]):
                    raise RanksError(self._store.get(_FAILURE).decode())
                now, alive = time.monotonic(), self._life(other)
                if alive != life:
                    life, since = alive, now
                if now - since > self.patience_s:
                    silence = f"no sign of life for {duration(self.patience_s)}"
                    message = f"{self._who(other)} does not answer ({silence}); {self._remedy}"
                    self._tell(message)
                    raise RanksError(message)
                if now > told:
                    told = now + _TOLD_SECONDS
                    _log.info("waiting for %s", self._who(other))
        except RuntimeError as error:
            if isinstance(error, RanksError):
                raise
            raise _no_store(error) from error
        raise AssertionError("an endless wait has ended")

    def _life(self, rank: int) -> int:
        return self._store.add(f"alive/{rank}", 0)

    def _silent(self) -> list[int]:
        """Ranks that give no sign of life for some beats."""
        before = [self._life(rank) for rank in range(self.world_size)]
        time.sleep(4 * self._beat_s)
        return [rank for rank, life in enumerate(before) if rank != self.rank and self._life(rank) == life]

    def _behind(self) -> list[int]:
        """Ranks that have not come to the exchange which this one is in."""
        ranks = (rank for rank in range(self.world_size) if self._store.check([f"at/{rank}"]))
        return [rank for rank in ranks if int(self._store.get(f"at/{rank}")) < self._exchanges]

    def _beat(self, store: dist.Store) -> None:
        try:
            while not self._is_over.is_set():
                store.add(f"alive/{self.rank}", 1)
                self._is_over.wait(self._beat_s)
        except RuntimeError as error:
            _log.debug("the ranks' store is gone: %s", error)


def _another_client(store: dist.Store) -> dist.Store:
    return store.clone()  # pyright: ignore[reportAttributeAccessIssue]


def _no_store(error: RuntimeError) -> RanksError:
    first = str(error).split("\n", 1)[0][:200]
    return RanksError(
        f"the node of rank 0 does not answer ({first}); see what it says, then run the same command again: it goes on "
        f"from the last checkpoint"
    )
