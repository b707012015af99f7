"""The configuration of the transformers export, in a file and back."""

from pathlib import Path

from transformers import BertConfig

from simcrop.adapters.export.standalone.configuration_simcrop import SimcropConfig


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    text = {"hidden_size": 8, "num_hidden_layers": 0, "num_attention_heads": 2}
    config = SimcropConfig(windows=((-1000, 400), (-160, 240)), local_patch_size=(3, 3, 3), text_config=text)
    config.save_pretrained(tmp_path)
    back = SimcropConfig.from_pretrained(tmp_path)
    assert isinstance(back.text_config, BertConfig)
    assert (back.text_config.hidden_size, back.text_config.num_hidden_layers) == (8, 0)
    assert back.windows == [[-1000, 400], [-160, 240]]
    apart = {"_name_or_path", "transformers_version", "text_config"}
    assert {key: value for key, value in back.to_dict().items() if key not in apart} == {
        key: value for key, value in config.to_dict().items() if key not in apart
    }


def test_an_image_side_alone_has_no_text_encoder(tmp_path: Path) -> None:
    SimcropConfig(score_pooling="best").save_pretrained(tmp_path)
    back = SimcropConfig.from_pretrained(tmp_path)
    assert back.text_config is None
    assert (back.score_pooling, back.local_patch_size) == ("best", None)
