"""Where a recogniser's tokenizer is found, and which kind it is taken for."""

import pytest
from builders import refused
from recordings import character_tokens, digits_bbpe, digits_bpe

from hra_cli.data.find_tokenizer import find_tokenizer, load_tokenizer
from hra_cli.data.token_table import token_table


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (".", "bpe.model"),
        (".", "data/lang_bpe_500/bpe.model"),
        (".", "lang_bpe_500/bpe.model"),
        ("exp", "exp/bpe.model"),
        ("exp", "bpe.model"),
        ("exp", "data/lang_bpe_500/bpe.model"),
        ("pretrained.pt", "bpe.model"),
        ("exp/pretrained.pt", "exp/bpe.model"),
        ("exp/pretrained.pt", "data/lang_bpe_500/bpe.model"),
        ("some/bpe-500.model", "some/bpe-500.model"),
        (".", "bbpe.model"),
        ("exp", "data/lang_bbpe_2000/bbpe.model"),
        (".", "tokens.txt"),
        ("exp/pretrained.pt", "data/lang_char/tokens.txt"),
        (".", "lang_char_bpe/tokens.txt"),
        ("exp", "data/lang_phone/tokens.txt"),
        ("some/tokens.txt", "some/tokens.txt"),
    ],
)
def test_where_the_tokenizer_is_found(tmp_path, given, place):
    (tmp_path / "exp").mkdir()
    for file in (given, place):
        if "." in file[1:]:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
    assert find_tokenizer(tmp_path / given) == tmp_path / place


def test_a_tokenizer_beside_the_checkpoint_is_preferred(tmp_path):
    for place in ("data/lang_bpe_500", "data/lang_bpe_2000", "."):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "bpe.model").touch()
    assert find_tokenizer(tmp_path) == tmp_path / "bpe.model"
    (tmp_path / "bpe.model").unlink()
    with refused("several tokenizers .*lang_bpe_2000.*lang_bpe_500.*; copy the right one into"):
        find_tokenizer(tmp_path)


def test_a_model_is_preferred_to_tables_which_lexicons_have_too(tmp_path):
    for place in ("tokens.txt", "data/lang_phone/tokens.txt", "data/lang_char/tokens.txt", "data/lang_bpe_5/bpe.model"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    for expected in ("data/lang_bpe_5/bpe.model", "tokens.txt", "data/lang_char/tokens.txt"):
        assert find_tokenizer(tmp_path) == tmp_path / expected
        (tmp_path / expected).unlink()


def test_a_missing_tokenizer_is_refused(tmp_path):
    (tmp_path / "pretrained.pt").touch()
    for path in (tmp_path, tmp_path / "pretrained.pt"):
        with refused(r"no bpe\.model, bbpe\.model or tokens\.txt for .*: expected it in"):
            find_tokenizer(path)
    with refused("no such recogniser: .*nowhere; give its folder"):
        find_tokenizer(tmp_path / "nowhere")


def test_the_kind_is_chosen_by_what_lies_there(tmp_path):
    for name, make in (("bpe", digits_bpe), ("bbpe", digits_bbpe), ("char", character_tokens)):
        (tmp_path / name).mkdir()
        make(tmp_path / name, 40)
    kinds = {name: load_tokenizer(tmp_path / name) for name in ("bpe", "bbpe", "char")}
    assert {name: tokenizer.kind for name, tokenizer in kinds.items()} == {
        "bpe": "sentencepiece",
        "bbpe": "byte-level sentencepiece",
        "char": "characters",
    }
    assert len({tokenizer.fingerprint for tokenizer in kinds.values()}) == 3
    assert {tokenizer.vocab_size for tokenizer in kinds.values()} == {40}


@pytest.mark.parametrize("make", [digits_bpe, digits_bbpe])
def test_a_table_that_contradicts_the_model_is_refused(tmp_path, make):
    model = make(tmp_path, 40)
    pieces = load_tokenizer(tmp_path).pieces(range(40))
    table = tmp_path / "tokens.txt"
    table.write_text(token_table([*pieces, "#0", "#1"]), encoding="utf-8")  # as icefall's prepare_lang_bpe.py leaves it
    whole = load_tokenizer(tmp_path)
    table.write_text(token_table([*pieces[:7], "OTHER", *pieces[8:]]), encoding="utf-8")
    with refused(f"tokens.txt contradicts .*{model.name}: token 7 is 'OTHER' in one and '{pieces[7]}' in the other"):
        load_tokenizer(tmp_path)
    table.write_text(token_table(pieces[:-1]), encoding="utf-8")
    with refused("39 tokens in one and 40 in the other"):
        load_tokenizer(model)
    table.write_text("nonsense\n", encoding="utf-8")
    with refused("tokens.txt, line 1, is no token and its id"):
        load_tokenizer(tmp_path)
    table.unlink()
    assert load_tokenizer(tmp_path).fingerprint == whole.fingerprint
