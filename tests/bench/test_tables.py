# SPDX-License-Identifier: BSD-3-Clause
"""Reports written by hand through `tables.py` and `picture.py`, with limits worked out on paper."""

from __future__ import annotations

import json
import shutil
import sys

import limits
import pytest
import tables
from workloads import STANDARD, Infer, Train, as_json, draw_lengths, from_json

LIMITS = {
    "cpu": "a CPU",
    "fma_gflops": {"1": 100.0, "2": 200.0},
    "read_gbs": {
        "1": {"65536": 1.0},  # the report has two threads: not to be used
        "2": {"131072": 50.0, "2097152": 45.0, "4194304": 40.0, "8388608": 20.0},
    },
    "meeting_ns": 100.0,
}


def row(workload, seconds, error, best, ratio, ours="lstmfast_frozen"):
    return {
        "workload": as_json(workload),
        "seconds": seconds,
        "error": error,
        "failed": {},
        "ours": ours,
        "best": best,
        "ratio": ratio,
    }


@pytest.fixture
def report():
    return {
        "machine": {"cpu": "a CPU", "system": "a system", "threads": 2},
        "rounds": 7,
        "engines": {
            "lstmfast_frozen": {"version": "0.1 (avx2)", "python": "3.11"},
            "lstmfast": {"version": "0.1 (avx2)", "python": "3.11"},
            "torch": {"version": "2.5", "python": "3.11"},
            "numpy": {"version": "2.0", "python": "3.11"},
        },
        "rows": {
            "step_h64": row(
                Infer(64),
                {"lstmfast_frozen": 5.24288e-6, "lstmfast": 7e-6, "torch": 80e-6, "numpy": 10.5e-6},
                {"lstmfast_frozen": 2e-8, "lstmfast": 9e-5, "torch": 3e-8, "numpy": 6e-8},
                "numpy",
                2.004,
            ),
            "seq1_h512": row(
                Infer(512, time=100),
                {"lstmfast_frozen": 0.0213909504, "torch": 0.02},
                {"lstmfast_frozen": 6e-7, "torch": 5e-7},
                "torch",
                0.936,
            ),
            "b16_h256": row(
                Infer(256, 16, 100),
                {"lstmfast_frozen": 0.01048576, "torch": 0.01048576},
                {"lstmfast_frozen": 6e-7, "torch": 5e-7},
                "torch",
                1.0,
            ),
            "train_b8_h64": row(Train(64, 8, 50, 16), {"lstmfast": 230e-6}, {}, None, None, ours="lstmfast"),
        },
    }


def read(text):
    """Header, cells of each row, the sentence."""
    lines = text.splitlines()
    assert lines[-2] == "" and all(line.startswith("| ") and line.endswith(" |") for line in lines[:-2])
    parts = [line[2:-2].split(" | ") for line in lines[:-2]]
    assert {len(p) for p in parts} == {len(parts[0])}
    assert parts[1] == ["---"] + ["---:"] * (len(parts[0]) - 1)
    return parts[0], parts[2:], lines[-1]


def test_table(report):
    header, (step, sequence, batch, training), sentence = read(tables.table(report))
    assert header == [
        "",
        "lstmfast",
        "PyTorch",
        "NumPy",
        "best peer / ours",
        "our error",
        "largest error of a peer",
    ]
    assert step == ["one step, LSTM 64", "5.2", "80.0", "10.5", "2.00", "2.0e-08", "6.0e-08"]
    assert sequence == [
        "sequence of 100, LSTM 512", "21,391", "20,000", "-", "0.94 (slower)", "6.0e-07", "5.0e-07",
    ]  # fmt: skip
    assert batch[4] == "1.00"  # as fast is not slower
    assert training == ["training, 8 x 50, LSTM 64 of 16", "230", "-", "-", "-", "-", "-"]
    for part in (
        "a CPU, 2 threads",
        "PyTorch 2.5",
        "NumPy 2.0",
        "lstmfast frozen 0.1 (avx2)",
        "7 interleaved rounds",
    ):
        assert part in sentence
    assert "lstmfast frozen, else lstmfast" in sentence


def test_an_engine_that_failed_or_is_alone(report):
    report["rows"]["step_h64"]["failed"] = {"torch": "why"}
    del report["rows"]["step_h64"]["seconds"]["torch"]
    report["rows"] = {"step_h64": report["rows"]["step_h64"]}
    del report["engines"]["lstmfast"]
    header, [step], sentence = read(tables.table(report))
    assert header[1] == "lstmfast frozen" and step[2] == "failed" and "else" not in sentence


def test_share_of_the_limit(report):
    header, (step, sequence, batch, training), sentence = read(tables.table(report, LIMITS))
    assert header[-1] == "of the limit" and "200 GF/s" in sentence
    # 64 x 2 inputs, 4 x 64 columns: 32,768 weights, 131,072 bytes at 50 GB/s take 2.62144 us (65,536 flops: 0.33 us)
    assert step[-1] == "50%"
    # 4 MiB of recurrent weights 100 times at 40 GB/s: 10.48576 ms; 4 MiB of input weights among 8 MiB at 20 GB/s:
    # 0.2097152 ms; together half of our 21.3909504 ms (419,430,400 flops: 2.1 ms)
    assert sequence[-1] == "50%"
    # 16 x 100 x 1024 columns x 512 inputs x 2 flops = 1,677,721,600 at 200 GF/s: 8.388608 ms of our 10.48576
    # (reading 100 x 1 MiB at 50 GB/s: 2.1 ms)
    assert batch[-1] == "80%"
    # 2 x 50 x 8 x 256 x (2 x 16 + 3 x 64) = 45,875,200 flops: 0.229376 ms of our 0.230
    assert training[-1] == "100%"


def test_the_limit_follows_the_longest_sequence_and_the_threads():
    one = {**LIMITS, "read_gbs": {"2": {"65536": 1.0}}, "fma_gflops": {"1": 1e9, "2": 1e9}}
    w = Infer(256, 32, 200, ragged=True, cell="gru")
    weights = 4 * 3 * 256 * 256  # bytes, recurrent; the input ones are as many
    longest = int(draw_lengths(w).max())
    assert tables.limit_seconds(w, one, 2) == pytest.approx((longest + 1) * weights * 1e-9)
    # two layers of two directions: each reads its own 1 MiB a step; inputs are 256 and 512 wide
    both = Infer(256, 8, 100, layers=2, bi=True)
    streamed = 100 * 4 * 2**20 + 2 * (2**20 + 2 * 2**20)
    assert tables.limit_seconds(both, one, 2) == pytest.approx(streamed * 1e-9)


def test_rate_is_that_of_the_largest_measured_set_that_is_not_larger():
    gbs = {"1024": 8.0, "4096": 4.0, "16384": 2.0}
    for size, rate in [(100, 8), (1024, 8), (4095, 8), (4096, 4), (10_000, 4), (16384, 2), (10**9, 2)]:
        assert tables.read_seconds(1000, size, gbs) == pytest.approx(1e-6 / rate)
    disturbed = {**gbs, "4096": 0.5}
    assert tables.read_seconds(1000, 5000, disturbed) == pytest.approx(1e-6 / 2)
    assert tables.read_seconds(1000, 2000, disturbed) == pytest.approx(1e-6 / 8)


@pytest.mark.parametrize(
    "workload, words",
    [
        (Infer(128), "one step, LSTM 128"),
        (Infer(128, 3, inputs=40, cell="gru"), "one step of 3, GRU 128 of 40"),
        (Infer(256, 16, 100), "16 x 100, LSTM 256"),
        (Infer(256, 1, 100, layers=3), "stack x 3, sequence of 100, LSTM 256"),
        (Infer(256, 8, 100, layers=2, bi=True), "bidirectional x 2, 8 x 100, LSTM 256"),
        (Infer(256, 8, 100, bi=True), "bidirectional, 8 x 100, LSTM 256"),
        (Infer(256, 32, 200, cell="gru", ragged=True), "ragged 32 x 200, GRU 256"),
        (Infer(9, 1, 5, cell="simple_rnn"), "sequence of 5, SimpleRNN 9"),
        (Train(512, 64, 50, 512), "training, 64 x 50, LSTM 512"),
    ],
)
def test_words(workload, words):
    assert tables.in_words(workload) == words


def test_workloads_come_back_from_json():
    for workload in STANDARD.values():
        assert from_json(json.loads(json.dumps(as_json(workload)))) == workload
    assert len({tables.in_words(w) for w in STANDARD.values()}) == len(STANDARD)


def run(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", ["program", *map(str, arguments)])
    module.main()


def test_command_line(report, tmp_path, monkeypatch, capsys):
    files = tmp_path / "report.json", tmp_path / "limits.json"
    files[0].write_text(json.dumps(report))
    files[1].write_text(json.dumps(LIMITS))
    run(monkeypatch, tables, files[0], "--limits", files[1])
    assert capsys.readouterr().out == tables.table(report, LIMITS) + "\n"
    files[1].write_text(json.dumps({**LIMITS, "cpu": "another"}))
    with pytest.raises(SystemExit, match="another machine"):
        run(monkeypatch, tables, files[0], "--limits", files[1])
    files[1].write_text(json.dumps({**LIMITS, "fma_gflops": {"1": 100.0}}))
    with pytest.raises(SystemExit, match="no figures for 2 threads"):
        run(monkeypatch, tables, files[0], "--limits", files[1])


def test_limits_are_parsed():
    printed = (
        "fma avx512 1 90\nfma avx2 1 100\nread 1 32768 60.5\nfma avx512 2 180\nfma avx2 2 150\nmeeting 99\n"
    )
    found = limits.parse(printed)
    assert found["fma_gflops"] == {"1": 100.0, "2": 180.0}
    assert found["avx2_fma_gflops"] == {"1": 100.0, "2": 150.0}
    assert found["read_gbs"] == {"1": {"32768": 60.5}} and found["meeting_ns"] == 99


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_limits_run(tmp_path, monkeypatch, capsys):
    out = tmp_path / "limits.json"
    run(monkeypatch, limits, "--seconds", 0.001, "--threads", 2, "--json", out)
    found = json.loads(out.read_text())
    sizes = [str(1 << k) for k in range(15, 26)]  # 32 KiB to 32 MiB
    assert list(found["fma_gflops"]) == list(found["read_gbs"]) == ["1", "2"]
    assert all(list(of) == sizes and min(of.values()) > 0 for of in found["read_gbs"].values())
    assert min(found["fma_gflops"].values()) > 0 and found["meeting_ns"] > 0
    assert "GF/s" in capsys.readouterr().out


def test_picture(report, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    import picture

    report["rows"]["step_h128"] = row(Infer(128), {"lstmfast_frozen": 9e-6, "torch": 9e-5}, {}, "torch", 10.0)
    assert picture.curves(report, "step_h") == {
        "lstmfast_frozen": [(64, pytest.approx(5.24288)), (128, pytest.approx(9))],
        "lstmfast": [(64, pytest.approx(7))],
        "torch": [(64, pytest.approx(80)), (128, pytest.approx(90))],
        "numpy": [(64, pytest.approx(10.5))],
    }
    source, files = tmp_path / "report.json", [tmp_path / "a.svg", tmp_path / "b.svg"]
    source.write_text(json.dumps(report))
    for file in files:
        run(monkeypatch, picture, source, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert b"<svg" in files[0].read_bytes() and b"dc:date" not in files[0].read_bytes()
    report["rows"] = {"b16_h256": report["rows"]["b16_h256"]}
    with pytest.raises(SystemExit, match="step_h"):
        picture.draw(report, files[0])


def test_several_duels_give_medians(report, tmp_path, monkeypatch, capsys):
    paths = []
    for k, (ours, torch, ratio) in enumerate([(5e-6, 9e-6, 1.8), (4e-6, 12e-6, 3.0), (8e-6, 10e-6, 1.25)]):
        duel = json.loads(json.dumps(report))
        duel["rows"] = {"step_h64": duel["rows"]["step_h64"]}
        duel["rows"]["step_h64"]["seconds"] |= {"lstmfast_frozen": ours, "torch": torch, "numpy": 1.1 * torch}
        duel["rows"]["step_h64"]["ratio"] = ratio
        paths.append(tmp_path / f"{k}.json")
        paths[-1].write_text(json.dumps(duel))
    monkeypatch.setattr(sys, "argv", ["tables.py", *map(str, paths), "--brief"])
    tables.main()
    text = capsys.readouterr().out
    assert "| 5.0 | 10.0 PyTorch | 1.80 |" in text
    assert "medians of 3 duels of 7 interleaved rounds" in text
    paths[1].write_text(json.dumps(report))
    with pytest.raises(SystemExit, match="different"):
        tables.main()


def test_brief_names_the_best_peer(report):
    header, rows, _ = read(tables.table(report, brief=True))
    assert header[1:4] == ["lstmfast", "best peer", "best peer / ours"]
    assert [row[2] for row in rows] == ["10.5 NumPy", "20,000 PyTorch", "10,486 PyTorch", "-"]


def test_page_of_training(report):
    import training

    fast = row(Train(64, 8, 50, 16), {"lstmfast": 230e-6, "torch": 690e-6}, {}, "torch", 3.0, ours="lstmfast")
    slow = row(
        Train(64, 8, 50, 16, masked=True),
        {"lstmfast": 1e-3, "torch": 5e-4},
        {},
        "torch",
        0.75,
        ours="lstmfast",
    )
    del report["engines"]["lstmfast_frozen"]
    halves = [{**report, "rows": {"a": fast}}, {**report, "rows": {"b": slow}}]
    text = training.page([training.merged(halves)], LIMITS, "a command")
    assert "geometric mean of best peer's time over ours 1.50" in text  # the root of 3 * 0.75
    assert "Below 1.0 in 1: training, 8 x 50, LSTM 64 of 16, masked (0.75 of torch)." in text
    assert "## 2 threads" in text and "`a command`" in text and "| 3.00 | 100% |" in text
    report["rows"] = {"a": fast}
    assert "No row below 1.0." in training.page([report], LIMITS, "a command")
