"""The server loop of examples/: one graph, and a head for every utterance of a batch."""

import runpy
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from builders import random_adapter, random_features
from speech import ROOT

from hra_cli.adapter.head_file import write_controller
from hra_cli.backbone.model import load_backbone
from hra_cli.io.tensors import write_safetensors
from hra_cli.transducer.search import search

SCRIPT = ROOT / "examples" / "serve_mixed_tasks.py"


@pytest.fixture
def served(whole, tmp_path):
    """A server with heads of 64 tasks, none of which was there when the graph was made; the recogniser, its adapter."""
    backbone = load_backbone(whole.backbone)
    adapter = random_adapter([f"task{n}" for n in range(64)], backbone.width, seed=5, scale=0.3)
    for row, task in enumerate(adapter.tasks):
        write_safetensors(tmp_path / "heads" / f"{task}.safetensors", adapter.bank.tensors(row), {})
    write_controller(tmp_path / "controller.safetensors", adapter.controller, backbone.fingerprint)
    script = runpy.run_path(str(SCRIPT))
    return script["Server"](whole.folder, tmp_path), backbone, adapter


def test_64_tasks_in_a_batch_give_what_each_gives_alone(served):
    server, backbone, adapter = served
    lengths = [30 + 2 * n for n in range(64)]
    features, lens = random_features(lengths)
    utterances = [one[:length].numpy() for one, length in zip(features, lengths)]
    together = server.recognise(utterances, adapter.tasks)
    alone = [server.recognise([one], [task])[0] for one, task in zip(utterances, adapter.tasks)]
    assert together == alone
    same_head = server.recognise(utterances, ["task0"] * 64)
    assert sum(one != other for one, other in zip(together, same_head)) > 30, "heads matter"

    with torch.no_grad():
        out, out_lens = backbone.encode(features, lens, adapter.for_tasks(adapter.tasks))
    assert together == [one.tokens for one in search("greedy_search", backbone, out, out_lens)]


def test_tokens_become_words(served):
    server, *_ = served
    ids = [server.tokens.index("▁"), 5, server.tokens.index("▁"), 6]
    assert server.text(ids) == f"{server.tokens[5]} {server.tokens[6]}".replace("▁", " ").strip()


def test_a_server_needs_no_torch():
    program = "import runpy, sys; sys.modules['torch'] = None; runpy.run_path(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(SCRIPT)], check=True)


def test_what_cannot_be_served_is_one_line(served, whole, streaming, tmp_path, monkeypatch, capsys):
    file = tmp_path / "speech.wav"
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
    for folder, request, said in (
        (whole.folder, f"nobody={file}", "no head for task 'nobody'; there are: task0, task1"),
        (whole.folder, "task0=nowhere.wav", "nowhere.wav"),
        (whole.folder, str(file), f"'{file}' is not TASK=FILE"),
        (streaming.folder, f"task0={file}", f"{streaming.folder} is for streams; export again without --chunk-size"),
        (tmp_path / "none", f"task0={file}", f"no such file: {tmp_path / 'none'}"),
    ):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(folder), str(tmp_path), request])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        line = str(ended.value.code) if isinstance(ended.value.code, str) else capsys.readouterr().err.splitlines()[-1]
        assert "serve_mixed_tasks.py: error: " in line
        assert said in line
        assert "\n" not in line
