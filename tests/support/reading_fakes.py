"""A tokenizer of whole words, and a model and grid of a few voxels, for the tests of what reads studies."""

from collections.abc import Sequence

from simcrop.adapters.loading.resample import Grid
from simcrop.core.data.batch import Encoding
from simcrop.core.recipe import ModelRecipe

MODEL = ModelRecipe(volume_size=(8, 8, 4), patch_size=(4, 4, 2), mask_ratio=0.5)
GRID = Grid((3.0, 3.0, 6.0), (10, 10, 6))


class WordTokenizer:
    """One token a word, numbered by its length, but none for "Silent."; cuts by whole sentences."""

    vocab_size, pad_id, mask_id, cls_id, sep_id = 50, 0, 1, 2, 3

    def encode(self, sentences: Sequence[str], *, max_tokens: int, separator: bool = True) -> Encoding:
        assert separator
        ids, owners, cut = [self.cls_id], [-1], 0
        for number, sentence in enumerate(sentences):
            words = sentence.replace("Silent.", "").split()
            if cut or len(ids) + len(words) + 1 > max_tokens:
                cut += 1
                continue
            ids += [10 + len(word) for word in words]
            owners += [number] * len(words)
        return Encoding((*ids, self.sep_id), (*owners, -1), cut)
