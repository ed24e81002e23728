import collections

import pytest
from recordings import write_wav

from hra_cli.data.corpora.fsdd import fsdd_cuts
from hra_cli.errors import HraError


def test_all_of_fsdd(shared):
    cuts, skipped = fsdd_cuts(shared / "data" / "fsdd")
    assert skipped == []
    counts = collections.Counter((cut.custom["task"], cut.custom["split"]) for cut in cuts)
    assert counts == {
        (speaker, split): count
        for speaker in ("george", "jackson", "nicolas", "theo")
        for split, count in (("train", 400), ("dev", 50), ("test", 50))
    }
    assert [cut.id for cut in cuts] == sorted(cut.id for cut in cuts)
    assert collections.Counter(cut.supervisions[0].text for cut in cuts)["SEVEN"] == 200


def test_a_name_says_text_speaker_and_split(tmp_path):
    for name in ("3_ann_4.wav", "0_ann_5.wav", "9_bob_9.wav", "7_bob_10.wav"):
        write_wav(tmp_path / "recordings" / name)
    cuts, _ = fsdd_cuts(tmp_path)
    said = {cut.id: (cut.supervisions[0].text, cut.supervisions[0].speaker, cut.custom) for cut in cuts}
    assert said == {
        "3_ann_4": ("THREE", "ann", {"task": "ann", "split": "test"}),
        "0_ann_5": ("ZERO", "ann", {"task": "ann", "split": "dev"}),
        "9_bob_9": ("NINE", "bob", {"task": "bob", "split": "dev"}),
        "7_bob_10": ("SEVEN", "bob", {"task": "bob", "split": "train"}),
    }


def test_the_recordings_folder_itself_will_do(tmp_path):
    write_wav(tmp_path / "1_ann_0.wav")
    assert [cut.id for cut in fsdd_cuts(tmp_path)[0]] == ["1_ann_0"]


def test_other_and_unreadable_files_are_listed(tmp_path):
    write_wav(tmp_path / "1_ann_0.wav")
    (tmp_path / "1_ann_1.wav").write_text("no audio")
    (tmp_path / "README.md").write_text("hello")
    cuts, skipped = fsdd_cuts(tmp_path)
    assert [cut.id for cut in cuts] == ["1_ann_0"]
    assert {(one.id, one.reason) for one in skipped} == {
        ("1_ann_1", "unreadable recording"),
        ("README.md", "not an FSDD file name"),
    }


def test_no_recordings_is_an_error(tmp_path):
    with pytest.raises(HraError, match="no FSDD recordings"):
        fsdd_cuts(tmp_path)
    with pytest.raises(HraError, match="no such folder"):
        fsdd_cuts(tmp_path / "nowhere")
