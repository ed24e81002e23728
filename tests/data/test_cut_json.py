"""Cuts as JSON are what lhotse makes of them."""

import json

import numpy as np
import pytest
from lhotse import AudioSource, Features, MonoCut, MultiCut, Recording, SupervisionSegment
from lhotse.array import Array
from lhotse.supervision import AlignmentItem

from hra_cli.data.cut_json import cut_as_json

RECORDING = Recording("r", [AudioSource("file", [0, 1], "r.wav")], 8000, 16000, 2.0)
ALIGNED = {"word": [AlignmentItem("ONE", 0.0, 0.5, 0.25), AlignmentItem("TWO", 0.5, 0.5)]}
FIELDS = {"nothing": None, "list": [1, None, {"a": 0.1}]}
SUPERVISION = SupervisionSegment("s", "r", 0.0, 1.0, text="ÉÉN", custom=FIELDS)
WITH_WORDS = SupervisionSegment("s", "r", 0.0, 1.0, alignment=ALIGNED)
OTHERS = {"target": RECORDING, "array": Array("x", "y", "z", [2])}
FEATURES = Features("kaldi-fbank", 100, 80, 0.01, 16000, 0.0, 1.0, "lilcom_chunky", "feats.lca", "0", channels=0)


@pytest.mark.parametrize(
    "cut",
    [
        MonoCut("a", 0.0, 1.0, 0, supervisions=[SUPERVISION], recording=RECORDING, custom={"task": "t", "none": None}),
        MonoCut("b", 0.5, 1.0, 1, recording=RECORDING.resample(16000).perturb_speed(1.1)),
        MonoCut("c", 0.0, 1.0, 0, supervisions=[WITH_WORDS], features=FEATURES),
        MultiCut("d", 0.0, 1.0, [0, 1], supervisions=[SUPERVISION], recording=RECORDING.perturb_volume(2.0)),
        MonoCut("e", 0.0, 1.0, 0, recording=RECORDING, custom=OTHERS),
    ],
)  # fmt: skip
def test_a_cut_is_what_to_dict_gives(cut):
    assert json.loads(cut_as_json(cut)) == json.loads(json.dumps(cut.to_dict()))
    assert cut_as_json(cut) == json.dumps(cut.to_dict())


def test_what_json_does_not_know_is_refused():
    with pytest.raises(TypeError):
        cut_as_json(MonoCut("a", 0.0, 1.0, 0, recording=RECORDING, custom={"vector": np.zeros(2)}))
