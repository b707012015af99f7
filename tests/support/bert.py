"""A BERT of random weights with its tokenizer, as a folder that transformers loads."""

from pathlib import Path

import torch


def write_bert(folder: Path, seed: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "lung", "heart", "nodule", "is", "in", "the"]
    raw = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    BertTokenizerFast(vocab=raw.get_vocab(), do_lower_case=True).save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(words), max_position_embeddings=48, **sizes)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
