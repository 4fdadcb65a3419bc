import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhas.extract.ground.text import DELIMITER_IDS, Captioner, normalise
from rhas.extract.weights.random_tokenizers import BERT_BASE_VOCABULARY, write_bert_tokenizer
from rhas.manifests.common.errors import InputError


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    write_bert_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The man", "the man."),
        ("the man.", "the man."),
        ("  the\n tall\tman  . ", "the tall man."),
        ("Mr. Smith", "mr smith."),
        ("the man. he wears red", "the man he wears red."),
        ("who is the man?", "who is the man."),
        ("the man!?", "the man."),
        ("the man...", "the man."),
        ("the man; in red", "the man in red."),
        ("the tall, dark-haired man", "the tall, dark-haired man."),
        ("Émilie's sister", "émilie's sister."),
    ],
)
def test_normalise(sentence, expected):
    assert normalise(sentence) == expected


@pytest.mark.parametrize("sentence", ["", "  ", ".", "?!.", "-", "\n;"])
def test_nothing_to_ground_is_an_error(sentence):
    with pytest.raises(InputError, match=r"referring sentence.*expected a description"):
        normalise(sentence)


_sentences = st.text(max_size=60).map(lambda text: f"a {text}")


@given(_sentences)
def test_normalised_is_one_phrase_and_stays_so(sentence):
    once = normalise(sentence)
    assert once.endswith(".") and once[:-1] == once[:-1].strip()
    assert not set(once[:-1]) & set(".?!;")
    assert once == once.lower() and "  " not in once
    assert normalise(once) == once


@given(st.lists(_sentences, min_size=1, max_size=5), st.booleans())
def test_captions_hold_every_sentence_once(tokenizer, sentences, joint):
    captioner = Captioner(tokenizer, 128)
    captions = captioner.captions(sentences, joint)
    spans = [(caption, span) for caption in captions for span in caption.spans]
    assert len(spans) == len(sentences)
    assert joint or len(captions) == len(sentences)
    for (caption, span), sentence in zip(spans, sentences, strict=True):
        ids = [caption.input_ids[i] for i in span]
        assert ids == tokenizer(normalise(sentence)[:-1], add_special_tokens=False)["input_ids"]
        assert not set(ids) & set(DELIMITER_IDS)
        assert caption.input_ids[span.stop] == 1012
    for caption in captions:
        assert len(caption.input_ids) <= captioner.max_tokens
        # What a model sees that tokenizes the text itself, as the released one does.
        assert list(caption.input_ids) == tokenizer(caption.text)["input_ids"]


def test_joint_captions_are_filled_greedily(tokenizer):
    captioner = Captioner(tokenizer, 16)
    captions = captioner.captions(["abcd", "efgh", "ijkl", "mn"], joint=True)
    assert [caption.text for caption in captions] == ["abcd. efgh.", "ijkl. mn."]
    assert captions[0].spans == (range(1, 5), range(6, 10))


def test_a_sentence_at_the_limit_is_taken_and_one_beyond_named(tokenizer):
    captioner = Captioner(tokenizer, 16)
    assert len(captioner.captions(["a" * 13])[0].input_ids) == 16
    too_long = "b" * 14
    with pytest.raises(InputError, match=rf"'{too_long}'.*at most 16 tokens.*not 17"):
        captioner.captions(["fine", too_long], joint=True)


def test_check_lists_all_unusable_sentences(tokenizer):
    with pytest.raises(InputError) as caught:
        Captioner(tokenizer, 16).check(["fine", "?", "c" * 20, "他"])
    assert [problem.value for problem in caught.value.problems] == ["?", "c" * 20, "他"]
    assert "vocabulary" in caught.value.problems[2].expected


@pytest.mark.parametrize("vocab_size", [1280, BERT_BASE_VOCABULARY])
def test_random_tokenizer_knows_ascii_at_berts_ids(tmp_path, vocab_size):
    from transformers import AutoTokenizer

    write_bert_tokenizer(tmp_path, vocab_size)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == vocab_size
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "!", ".", "?", "a", "~"]
    ids = [0, 100, 101, 102, 103, 999, 1012, 1029, 1037, 1066]
    assert tokenizer.convert_tokens_to_ids(pieces) == ids
    ascii_text = "".join(map(chr, range(32, 127)))
    assert tokenizer.unk_token_id not in tokenizer(f"{ascii_text} {ascii_text[::-1]} word")["input_ids"]


def test_random_tokenizer_refuses_too_small_a_vocabulary(tmp_path):
    with pytest.raises(ValueError, match="vocab_size = 1029"):
        write_bert_tokenizer(tmp_path, 1029)


def test_captions_are_immutable(tokenizer):
    caption = Captioner(tokenizer, 16).captions(["a"])[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        caption.text = "b"
