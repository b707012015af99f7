"""The ranks of a run on one or several nodes: what they compare, and how they prepare data between them."""

from simcrop.adapters.checkpoints.resume import deciding
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.system.provenance import versions
from simcrop.adapters.system.ranks import node_name
from simcrop.adapters.system.shared_folder import FolderRanks, folder_ranks
from simcrop.compose.data import Data, prepare_data, tell_sentences
from simcrop.core.ports import Communicator
from simcrop.core.training.agreement import agree


def compare_configurations(config: RunConfig, ranks: Communicator) -> None:
    """See that all ranks run the same version and configuration. Raises RanksError, naming the first difference."""
    remedy = "start every rank with the same version of simcrop and torch, and with the same configuration"
    agree(ranks, {**versions(), **deciding(config)}, remedy=remedy)


def prepare_together(config: RunConfig, ranks: Communicator) -> tuple[Data, FolderRanks]:
    """Prepare the data: the first rank of each node makes what is missing on its disk; then the others find it.

    Returns:
        The data, and the ranks that see the same prepared files as this one.

    Raises:
        SimcropError: as for `prepare_data`; RanksError where ranks find other studies, or one has failed.
    """
    data, settings = None, config.data
    sharing = folder_ranks(settings.prepared, ranks, settings.prepared_shared, node=node_name(), key="data.prepared")
    if (share := sharing.share(ranks.rank)) is not None:
        data = prepare_data(config, shard=share)
    ranks.meet()
    if data is None or len(sharing.leaders) > 1:
        data = prepare_data(config)
    facts = {
        "data, training studies": len(data.train),
        "data, held-out studies": len(data.held_out),
        "data, fingerprint of the studies, their reports, labels and split": data.fingerprint[:16],
    }
    agree(ranks, facts, remedy="give every node the same tables and volumes")
    if ranks.rank == 0 and config.objectives.matches_sentences:
        tell_sentences(data.train)
    return data, sharing
