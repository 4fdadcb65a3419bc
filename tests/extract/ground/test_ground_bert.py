import copy

import pytest
import torch

from rhas.extract.ground.bert import PhraseBert


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_phrase_bert_equals_the_packages_wrapper(text_parts, attention):
    from groundingdino.models.GroundingDINO import bertwarper
    from transformers import BertModel

    config, tokenizer = copy.deepcopy(text_parts[0]), text_parts[1]
    config._attn_implementation = attention
    bert = BertModel(config).eval()
    tokenized = tokenizer(["the man. a tall woman.", "boy."], padding="longest", return_tensors="pt")
    special = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", ".", "?"])
    mask, positions, _ = bertwarper.generate_masks_with_special_tokens_and_transfer_map(
        tokenized, special, tokenizer
    )
    inputs = {
        "input_ids": tokenized["input_ids"],
        "token_type_ids": tokenized["token_type_ids"],
        "attention_mask": mask,
        "position_ids": positions,
    }
    with torch.no_grad():
        expected = bertwarper.BertModelWarper(bert)(**inputs)["last_hidden_state"]
        actual = PhraseBert(bert)(**inputs)["last_hidden_state"]
    assert torch.equal(actual, expected)


def test_names_are_those_of_released_checkpoints(text_parts):
    from groundingdino.models.GroundingDINO.bertwarper import BertModelWarper
    from transformers import BertModel

    bert = BertModel(text_parts[0])
    released = {name for name in BertModelWarper(bert).state_dict() if not name.startswith("pooler.")}
    assert set(PhraseBert(bert).state_dict()) == released
